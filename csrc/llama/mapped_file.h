#pragma once
// A file's bytes in memory, read-only, paged in when they are read.

#include <cstddef>
#include <cstdint>
#include <string>

namespace shimmy {

class MappedFile {
  public:
    static constexpr bool supported =
#ifdef _WIN32
        false;
#else
        true;
#endif

    // Throws ModelLoadError when the file cannot be mapped.
    explicit MappedFile(const std::string & path);
    ~MappedFile();
    MappedFile(const MappedFile &) = delete;
    MappedFile & operator=(const MappedFile &) = delete;

    void * data() const { return data_; }
    size_t size() const { return size_; }
    // Null when the file does not have that many.
    void * at(uint64_t offset, uint64_t n_bytes) const {
        return offset <= size_ && n_bytes <= size_ - offset ? static_cast<char *>(data_) + offset : nullptr;
    }

  private:
    void * data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace shimmy
