#include "llama/rpc_servers.h"

#include <ggml-backend.h>

#include <algorithm>
#include <cctype>
#include <mutex>
#include <set>

#include "errors.h"
#include "llama/device.h"
#include "llama/log_sink.h"
#include "llama/native_abort.h"

namespace shimmy {
namespace {

using AddServer = ggml_backend_reg_t (*)(const char * endpoint);

constexpr size_t most_servers = 16;  // GGML_RPC_MAX_SERVERS

void check_endpoint(const std::string & server) {
    const auto colon = server.rfind(':');
    const auto port = colon == std::string::npos ? std::string() : server.substr(colon + 1);
    const bool digits =
        std::all_of(port.begin(), port.end(), [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; });
    if (colon == std::string::npos || colon == 0 || port.empty() || port.size() > 5 || !digits ||
        std::stoi(port) > 65535) {
        throw InvalidRequestError("the RPC server '" + server + "' is no host:port", "rpc_servers");
    }
}

}  // namespace

void add_rpc_servers(const std::vector<std::string> & servers) {
    static std::mutex mutex;
    static std::set<std::string> known;
    if (servers.empty()) {
        return;
    }
    init_backends();
    std::lock_guard lock(mutex);
    auto * backend = ggml_backend_reg_by_name("RPC");
    auto * add =
        backend ? reinterpret_cast<AddServer>(ggml_backend_reg_get_proc_address(backend, "ggml_backend_rpc_add_server"))
                : nullptr;
    if (!add) {
        throw ModelLoadError("RPC servers were asked for and this build has no RPC backend: build with SHIMMY_RPC=ON");
    }
    for (const auto & server : servers) {
        check_endpoint(server);
        if (known.count(server) > 0) {
            continue;
        }
        if (known.size() == most_servers) {
            throw InvalidRequestError("more than " + std::to_string(most_servers) + " RPC servers", "rpc_servers");
        }
        LogCapture log;
        ggml_backend_reg_t devices = nullptr;
        try {
            AbortGuard guard;
            devices = add(server.c_str());
        } catch (const NativeAbort &) {
            throw ModelLoadError("the RPC server " + server + " does not answer, or speaks another version of " +
                                 "llama.cpp's protocol" + (log.text().empty() ? "" : ": " + log.text()));
        }
        if (!devices) {
            throw ModelLoadError("the RPC server " + server + " offers no device");
        }
        ggml_backend_register(devices);
        known.insert(server);
    }
}

}  // namespace shimmy
