#pragma once
// Backends as libraries of their own (SHIMMY_PORTABLE): those beside the extension, and those of add-on packages.

#include <string>
#include <vector>

namespace shimmy {

struct BackendLibrary {
    std::string path;
    std::string refusal;  // why it must not be opened; empty: it may
};

// What add-on packages bring. Before init_backends, which opens them.
void set_backend_libraries(std::vector<BackendLibrary> libraries);

// Open all of them. One that cannot be opened, for want of a driver for example, is logged as an error and left out.
// Throws Error with the refusal of the first that has one.
void open_backend_libraries();

}  // namespace shimmy
