#include "llama/kv_cache.h"

#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/bind.h"
#include "bindings/file_path.h"
#include "bindings/kv_cache_view.h"

namespace shimmy::bindings {

void bind_kv_cache(py::module_ & m) {
    using View = KvCacheView;
    const py::arg seq("seq_id");
    const auto p0 = py::arg("p0") = -1;
    const auto p1 = py::arg("p1") = -1;

    py::class_<View>(
        m, "KVCache",
        "The sequences in a context's memory. Positions are [p0, p1); -1 means the beginning or the end. Ids and\n"
        "ranges that do not exist raise InvalidRequestError.")
        .def(
            "clear", [](View & v) { v.locked([](KvCache & c) { c.clear(); }); }, "Remove every sequence.")
        .def(
            "seq_rm",
            [](View & v, SeqId id, Pos a, Pos b) { return v.locked([&](KvCache & c) { return c.seq_rm(id, a, b); }); },
            seq, p0, p1,
            "Remove positions of a sequence (-1: of all). False when this model cannot cut a part out; nothing is "
            "changed\n"
            "then. A whole sequence can always be removed.")
        .def(
            "seq_cp",
            [](View & v, SeqId src, SeqId dst, Pos a, Pos b) {
                v.locked([&](KvCache & c) { c.seq_cp(src, dst, a, b); });
            },
            py::arg("src"), py::arg("dst"), p0, p1,
            "Let `dst` share the cells of `src`; with kv_unified off whole sequences only, and `dst` is overwritten.")
        .def(
            "seq_keep", [](View & v, SeqId id) { v.locked([&](KvCache & c) { c.seq_keep(id); }); }, seq,
            "Remove every other sequence.")
        .def(
            "seq_add",
            [](View & v, SeqId id, Pos a, Pos b, Pos delta) {
                v.locked([&](KvCache & c) { c.seq_add(id, a, b, delta); });
            },
            seq, py::arg("p0"), py::arg("p1"), py::arg("delta"),
            "Shift positions by `delta`; needs can_shift. Cells that sequences share (seq_cp) move for all of them.")
        .def(
            "seq_div",
            [](View & v, SeqId id, Pos a, Pos b, int32_t d) { v.locked([&](KvCache & c) { c.seq_div(id, a, b, d); }); },
            seq, py::arg("p0"), py::arg("p1"), py::arg("d"), "Divide positions by `d` >= 1; otherwise as seq_add.")
        .def(
            "seq_pos_min", [](View & v, SeqId id) { return v.locked([&](KvCache & c) { return c.seq_pos_min(id); }); },
            seq, "The first position held, -1 when the sequence is empty.")
        .def(
            "seq_pos_max", [](View & v, SeqId id) { return v.locked([&](KvCache & c) { return c.seq_pos_max(id); }); },
            seq, "The last position held, -1 when the sequence is empty.")
        .def_property_readonly("can_shift",
                               [](View & v) { return v.locked([](KvCache & c) { return c.can_shift(); }); })
        .def(
            "seq_save",
            [](View & v, SeqId id, const std::vector<Token> & tokens) {
                return bytes_of(v.locked([&](KvCache & c) { return c.seq_save(id, tokens); }));
            },
            seq, py::arg("tokens") = std::vector<Token>{},
            "The state of a sequence with the tokens it holds, framed with a checksum and the model's fingerprint. "
            "Raises\n"
            "InvalidRequestError between seq_add, seq_div or (kv_unified off) seq_cp and the next decode, which moves\n"
            "the cells.")
        .def(
            "seq_restore",
            [](View & v, SeqId dst, const py::buffer & state) {
                const auto data = bytes_in(state);
                return v.locked([&](KvCache & c) { return c.seq_restore(dst, data); });
            },
            py::arg("dst"), py::arg("state"),
            "Replace `dst` by a saved state and return its tokens. Raises InvalidRequestError for bytes that are "
            "damaged,\n"
            "of another model, or too many for the cache.")
        .def(
            "seq_save_file",
            [](View & v, const FilePath & path, SeqId id, const std::vector<Token> & tokens) {
                v.locked([&](KvCache & c) { c.seq_save_file(path.bytes, id, tokens); });
            },
            py::arg("path"), seq, py::arg("tokens") = std::vector<Token>{}, "seq_save into a file, atomically.")
        .def(
            "seq_restore_file",
            [](View & v, const FilePath & path, SeqId dst) {
                return v.locked([&](KvCache & c) { return c.seq_restore_file(path.bytes, dst); });
            },
            py::arg("path"), py::arg("dst"), "seq_restore from a file.");
}

}  // namespace shimmy::bindings
