#pragma once
// What a graph is to know of the cells of the step that it is built for: llama-kv-cache.cpp tells, llama-graph.cpp
// asks.

namespace shimmy {

// Most cells that the step's sequences see are seen by one of them alone; not so with a long prefix that many share.
inline thread_local bool cells_are_apart = false;

}  // namespace shimmy
