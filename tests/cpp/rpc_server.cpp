// An RPC server for tests: offers this machine's CPU as several devices to whoever connects.
// It ends with its parent. Usage: shimmy-rpc-server HOST:PORT N_DEVICES

#include <ggml-backend.h>
#include <ggml-rpc.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#ifdef __linux__
#include <sys/prctl.h>

#include <csignal>
#endif

int main(int argc, char ** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s HOST:PORT N_DEVICES\n", argv[0]);
        return 1;
    }
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that ends leaves none behind
#endif
    auto * cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    std::vector<ggml_backend_dev_t> devices(static_cast<size_t>(std::atoi(argv[2])), cpu);
    ggml_backend_rpc_start_server(argv[1], nullptr, 1, devices.size(), devices.data());
    return 1;  // it returns only when it cannot listen
}
