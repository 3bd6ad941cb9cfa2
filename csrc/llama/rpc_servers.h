#pragma once
// llama.cpp's RPC backend: devices of other machines, by a protocol without encryption or keys.

#include <string>
#include <vector>

namespace shimmy {

// Connect to servers ("host:port"), whose devices are among devices() from then on. A server is connected to once.
// Throws ModelLoadError when this build has no RPC backend or a server does not answer, InvalidRequestError for one
// that is no host:port. A server that is lost later ends the process: llama.cpp aborts on a thread of its own.
void add_rpc_servers(const std::vector<std::string> & servers);

}  // namespace shimmy
