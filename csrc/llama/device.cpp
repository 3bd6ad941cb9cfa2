#include "llama/device.h"

#include <ggml-backend.h>
#include <llama.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

#include "errors.h"
#include "llama/backend_library.h"
#include "llama/log_sink.h"
#include "llama/native_abort.h"

namespace shimmy {
namespace {

const char * type_name(enum ggml_backend_dev_type type) {
    switch (type) {
        case GGML_BACKEND_DEVICE_TYPE_CPU:
            return "cpu";
        case GGML_BACKEND_DEVICE_TYPE_GPU:
            return "gpu";
        case GGML_BACKEND_DEVICE_TYPE_IGPU:
            return "igpu";
        case GGML_BACKEND_DEVICE_TYPE_ACCEL:
            return "accel";
        default:
            return "meta";
    }
}

std::vector<std::string> & found_errors() {
    static std::vector<std::string> errors;
    return errors;
}

Device described(ggml_backend_device * dev) {
    size_t free = 0;
    size_t total = 0;
    try {
        AbortGuard guard;
        ggml_backend_dev_memory(dev, &free, &total);
    } catch (const NativeAbort &) {  // a device that was lost: it is listed, with no memory
    }
    return {ggml_backend_dev_name(dev),
            ggml_backend_dev_description(dev),
            type_name(ggml_backend_dev_type(dev)),
            ggml_backend_reg_name(ggml_backend_dev_backend_reg(dev)),
            free,
            total};
}

}  // namespace

void init_backends() {
    static std::once_flag once;
    std::call_once(once, [] {
        install_abort_hook();
        install_log_sink();
        LogCapture log;
        open_backend_libraries();
        llama_backend_init();
        if (!log.text().empty()) {
            found_errors().push_back(log.text());
        }
    });
}

const std::vector<std::string> & backend_errors() {
    init_backends();
    return found_errors();
}

std::vector<Device> devices() {
    init_backends();
    std::vector<Device> found;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        found.push_back(described(ggml_backend_dev_get(i)));
    }
    return found;
}

std::vector<std::string> backends() {
    init_backends();
    std::vector<std::string> names;
    for (size_t i = 0; i < ggml_backend_reg_count(); ++i) {
        const std::string_view name = ggml_backend_reg_name(ggml_backend_reg_get(i));
        if (!name.starts_with("RPC[")) {  // one server's: its devices say RPC
            names.emplace_back(name);
        }
    }
    return names;
}

std::vector<ggml_backend_device *> find_devices(const std::vector<std::string> & names) {
    init_backends();
    std::vector<ggml_backend_device *> handles;
    for (const auto & name : names) {
        auto * dev = ggml_backend_dev_by_name(name.c_str());
        if (!dev) {
            std::string known;
            for (const auto & device : devices()) {
                known += (known.empty() ? "" : ", ") + device.name;
            }
            throw InvalidRequestError("unknown device '" + name + "': this build and machine offer " + known,
                                      "devices");
        }
        const auto type = ggml_backend_dev_type(dev);
        if (type != GGML_BACKEND_DEVICE_TYPE_CPU && type != GGML_BACKEND_DEVICE_TYPE_ACCEL &&
            std::find(handles.begin(), handles.end(), dev) == handles.end()) {
            handles.push_back(dev);
        }
    }
    if (!names.empty()) {
        handles.push_back(nullptr);
    }
    return handles;
}

bool has_only_cpus() {
    const auto all = devices();
    return std::all_of(all.begin(), all.end(), [](const Device & device) { return device.type == "cpu"; });
}

std::vector<std::string> cpu_features() {
    init_backends();
    std::vector<std::string> names;
    auto * reg = ggml_backend_reg_by_name("CPU");
    auto * get = reg ? reinterpret_cast<ggml_backend_get_features_t>(
                           ggml_backend_reg_get_proc_address(reg, "ggml_backend_get_features"))
                     : nullptr;
    if (get) {
        for (auto * feature = get(reg); feature && feature->name; ++feature) {
            if (std::strcmp(feature->value, "0") != 0) {
                names.emplace_back(feature->name);
            }
        }
    }
    return names;
}

#ifdef __linux__
namespace {

std::optional<uint64_t> number_in(const char * path, const std::string & key) {
    std::ifstream file(path);
    std::string word;
    while (file >> word) {
        if (key.empty() || (word == key && file >> word)) {
            uint64_t value = 0;
            const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
            return error == std::errc() ? std::optional(value) : std::nullopt;  // "max" is no limit
        }
    }
    return std::nullopt;
}

// What the container (cgroup v2) lets this process still take. Pages of files that were not used lately do not count.
std::optional<uint64_t> cgroup_memory_left() {
    const auto limit = number_in("/sys/fs/cgroup/memory.max", "");
    const auto used = number_in("/sys/fs/cgroup/memory.current", "");
    if (!limit || !used) {
        return std::nullopt;
    }
    const uint64_t unused = number_in("/sys/fs/cgroup/memory.stat", "inactive_file").value_or(0);
    const uint64_t taken = *used - std::min(*used, unused);
    return *limit - std::min(*limit, taken);
}

}  // namespace
#endif

HostMemory host_memory() {
    init_backends();
    if (auto * cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) {
        const auto device = described(cpu);
        HostMemory memory{device.memory_total, device.memory_free};
#ifdef __linux__
        std::ifstream file("/proc/meminfo");
        std::string line;
        while (std::getline(file, line)) {
            unsigned long long kib = 0;
            if (std::sscanf(line.c_str(), "MemAvailable: %llu kB", &kib) == 1) {
                memory.available = kib * 1024;
            }
        }
        if (const auto left = cgroup_memory_left()) {
            memory.available = std::min<uint64_t>(memory.available, *left);
        }
#endif
        return memory;
    }
    return {0, 0};
}

int32_t logical_cpus() {
#ifdef __linux__
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
        return std::max(1, CPU_COUNT(&allowed));
    }
#endif
    return static_cast<int32_t>(std::max(1U, std::thread::hardware_concurrency()));
}

int32_t physical_cores() {
#ifdef __linux__
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
        std::set<std::string> cores;
        for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
            if (!CPU_ISSET(cpu, &allowed)) {
                continue;
            }
            std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings");
            std::string siblings;
            if (std::getline(file, siblings)) {
                cores.insert(siblings);
            }
        }
        if (!cores.empty()) {
            return static_cast<int32_t>(cores.size());
        }
    }
#endif
    return logical_cpus();
}

}  // namespace shimmy
