#include "llama/mapped_file.h"

#include <cerrno>
#include <cstring>

#ifndef _WIN32
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "errors.h"

namespace shimmy {

#ifdef _WIN32

MappedFile::MappedFile(const std::string & path) {
    throw ModelLoadError(path + ": files cannot be mapped on this platform");
}

MappedFile::~MappedFile() = default;

#else

MappedFile::MappedFile(const std::string & path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status{};
    void * address = MAP_FAILED;
    if (file >= 0 && fstat(file, &status) == 0) {
        size_ = static_cast<size_t>(status.st_size);
        address = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
    }
    const int error = errno;
    if (file >= 0) {
        close(file);
    }
    if (address == MAP_FAILED) {
        throw ModelLoadError(path + " cannot be mapped: " + std::strerror(error));
    }
    data_ = address;
}

MappedFile::~MappedFile() {
    munmap(data_, size_);
}

#endif

}  // namespace shimmy
