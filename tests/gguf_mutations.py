"""The named mutations of the corpus: what is wrong with each file and what its refusal must mention."""

from __future__ import annotations

import struct
from collections.abc import Callable

from gguf_corpus import (
    ARRAY,
    F32,
    I32,
    MAX_U32,
    STRING,
    U32,
    Gguf,
    Mutation,
    Tensor,
    array,
    boolean,
    f32,
    string,
    strings,
    text,
    u16,
    u32,
)

Change = Callable[[Gguf], None]
TOKENS = "tokenizer.ggml.tokens"


def key(name: str, value: bytes) -> Change:
    return lambda file: file.set(name, value)


def no_key(name: str) -> Change:
    return lambda file: file.remove(name)


def of_size(size: Callable[[Gguf], int]) -> Change:
    def change(file: Gguf) -> None:
        file.size = size(file)

    return change


def cut_header(n: int) -> Change:
    """Keep the first `n` bytes of the header (negative: all but that many) and nothing behind it."""

    def change(file: Gguf) -> None:
        header = file.header()[:n]
        file.header = lambda: header  # type: ignore[method-assign]
        file.size = len(header)

    return change


def other_format(head: bytes) -> Change:
    def change(file: Gguf) -> None:
        file.header = lambda: head  # type: ignore[method-assign]
        file.size = len(head)

    return change


def attribute(name: str, value: object) -> Change:
    return lambda file: setattr(file, name, value)


def tensor(name: str, /, **values: object) -> Change:
    """Change a tensor's entry and nothing else: offsets stay what they were."""

    def change(file: Gguf) -> None:
        for attribute_name, value in values.items():
            setattr(file.tensor(name), attribute_name, value)

    return change


def arranged(change: Change) -> Change:
    """The same with the layout put right, so that only the change itself is at fault."""

    def both(file: Gguf) -> None:
        change(file)
        file.arrange()

    return both


def tokens(change: Callable[[list[bytes]], list[bytes]]) -> Change:
    return lambda file: file.set(TOKENS, strings(change(file.tokens())))


def with_token(index: int, value: bytes) -> Change:
    return tokens(lambda found: [*found[:index], value, *found[index + 1 :]])


def twice(file: Gguf) -> None:
    file.metadata.append(file.metadata[0])


def same_tensor_twice(file: Gguf) -> None:
    first = file.tensors[0]
    file.tensors.append(Tensor(first.name, list(first.shape), first.kind, 0))
    file.arrange()


def overlap(file: Gguf) -> None:
    file.tensors[3].offset = file.tensors[2].offset


def swapped(file: Gguf) -> None:
    file.tensors[0].offset, file.tensors[2].offset = file.tensors[2].offset, file.tensors[0].offset


def per_layer(name: str, values: list[int]) -> Change:
    return key(name, array(U32, len(values), struct.pack(f"<{len(values)}I", *values)))


def rwkv_without_bytes(file: Gguf) -> None:
    file.set("tokenizer.ggml.model", string("rwkv"))
    file.set(TOKENS, strings([b"\\n", *(b"word%d" % i for i in range(4095))]))


STRUCTURE = [
    Mutation("empty", "the file is empty", cut_header(0)),
    Mutation("only-magic", "version", cut_header(4)),
    Mutation("half-counts", "metadata count", cut_header(20)),
    Mutation("cut-in-a-key", "more than the file can hold", cut_header(300)),
    Mutation("cut-in-the-tokens", "is truncated", cut_header(20_000)),
    Mutation("cut-in-the-tensors", "tensor", cut_header(-100)),
    Mutation("no-tensor-data", "bytes are missing", cut_header(10**9)),
    Mutation("half-the-file", "bytes are missing", of_size(lambda file: file.full_size() // 2)),
    Mutation("a-byte-short", "1 of", of_size(lambda file: file.full_size() - 1)),
    Mutation("wrong-magic", "magic", attribute("magic", b"GGUX")),
    Mutation("swapped-magic", "byte-swapped", attribute("magic", b"FUGG")),
    Mutation("version-0", "version is 0", attribute("version", 0)),
    Mutation("version-1", "version is 1", attribute("version", 1)),
    Mutation("version-4", "version is 4", attribute("version", 4)),
    Mutation("swapped-version", "byte order", attribute("version", 0x03000000)),
    Mutation("2-to-the-63-keys", "metadata count", attribute("n_metadata", 2**63)),
    Mutation("a-billion-keys", "metadata count", attribute("n_metadata", 10**9)),
    Mutation("a-key-too-many", "", attribute("n_metadata", 36)),
    Mutation("a-key-too-few", "", attribute("n_metadata", 34)),
    Mutation("2-to-the-64-tensors", "tensor count", attribute("n_tensors", 2**64 - 1)),
    Mutation("a-tensor-too-many", "", attribute("n_tensors", 93)),
    Mutation("key-twice", "'general.architecture' is there twice", twice),
    Mutation("key-of-no-length", "is empty", lambda file: file.metadata.append((b"", u32(1)))),
    Mutation("key-with-a-zero", "zero byte", lambda file: file.metadata.append((b"a\0b", u32(1)))),
    Mutation("key-too-long", "more than the 65535", lambda file: file.metadata.append((b"k" * 70_000, u32(1)))),
    Mutation("string-of-2-to-the-63", "general.name", key("general.name", struct.pack("<IQ", STRING, 2**63))),
    Mutation("string-beyond-the-file", "general.name", key("general.name", struct.pack("<IQ", STRING, 50_000_000))),
    Mutation("type-13", "type 13", key("general.name", struct.pack("<IQ", 13, 0))),
    Mutation("array-of-arrays", "array of arrays", key("general.tags", array(ARRAY, 1, array(U32, 0, b"")))),
    Mutation("array-of-type-99", "type 99", key("general.tags", array(99, 1, b"\0" * 8))),
    Mutation("array-of-2-to-the-62", "general.tags", key("general.tags", array(U32, 2**62, b""))),
    Mutation("alignment-0", "general.alignment is 0", key("general.alignment", u32(0))),
    Mutation("alignment-3", "general.alignment is 3", key("general.alignment", u32(3))),
    Mutation("alignment-2-to-the-31", "general.alignment", key("general.alignment", u32(2**31))),
    Mutation("alignment-as-text", "general.alignment is string", key("general.alignment", string("32"))),
]

TENSORS = [
    Mutation("dimension-0", "dimension 1 of 0", tensor("token_embd.weight", shape=[256, 0])),
    Mutation("dimension-negative", "dimension 0", tensor("token_embd.weight", shape=[2**63, 1])),
    Mutation("dimensions-overflow", "dimension 1", tensor("token_embd.weight", shape=[2**40, 2**40])),
    Mutation("5-dimensions", "5 dimensions", tensor("token_embd.weight", shape=[1, 1, 1, 1, 1])),
    Mutation("type-unknown", "has type type 77", tensor("token_embd.weight", kind=77)),
    Mutation("type-removed", "has type q4_2", tensor("token_embd.weight", kind=4)),
    Mutation("row-not-in-blocks", "blocks of 32", tensor("token_embd.weight", shape=[250, 4096])),
    Mutation("offset-not-aligned", "is not aligned", tensor("blk.3.ffn_norm.weight", offset=4)),
    Mutation("offset-beyond-the-file", "outside of the file", tensor("blk.3.ffn_norm.weight", offset=2**40)),
    Mutation("tensors-overlap", "overlaps", overlap),
    Mutation("tensors-out-of-order", "belongs at", swapped),
    Mutation("tensor-twice", "is there twice", same_tensor_twice),
    Mutation("tensor-without-name", "is empty", tensor("token_embd.weight", name=b"")),
    Mutation("tensor-name-too-long", "more than the 63", tensor("token_embd.weight", name=b"n" * 64)),
    Mutation("tensor-renamed", "output_norm.weight", tensor("output_norm.weight", name=b"output_norms.weight")),
    Mutation("norm-in-f16", "must hold f32", arranged(tensor("output_norm.weight", kind=1))),
    Mutation("weights-transposed", "blk.0.ffn_down", arranged(tensor("blk.0.ffn_down.weight", shape=[256, 1024]))),
    Mutation("projection-too-small", "blk.0.attn_k", arranged(tensor("blk.0.attn_k.weight", shape=[256, 64]))),
]

HYPERPARAMETERS = [
    Mutation("no-architecture", "general.architecture is missing", no_key("general.architecture")),
    Mutation("architecture-as-number", "general.architecture is u32", key("general.architecture", u32(7))),
    Mutation("architecture-unknown", "unknown model architecture", key("general.architecture", string("nonesuch"))),
    Mutation("no-block-count", "block_count", no_key("llama.block_count")),
    Mutation("block-count-0", "llama.block_count is 0", key("llama.block_count", u32(0))),
    Mutation("block-count-513", "llama.block_count is 513", key("llama.block_count", u32(513))),
    Mutation("block-count-max", f"llama.block_count is {MAX_U32}", key("llama.block_count", u32(MAX_U32))),
    Mutation("block-count-as-text", "llama.block_count is string", key("llama.block_count", string("10"))),
    Mutation("block-count-11", "blk.10.", key("llama.block_count", u32(11))),
    Mutation("no-embedding-length", "embedding_length", no_key("llama.embedding_length")),
    Mutation("embedding-length-0", "llama.embedding_length is 0", key("llama.embedding_length", u32(0))),
    Mutation("embedding-length-max", "llama.embedding_length", key("llama.embedding_length", u32(MAX_U32))),
    Mutation("no-context-length", "context_length", no_key("llama.context_length")),
    Mutation("context-length-0", "llama.context_length is 0", key("llama.context_length", u32(0))),
    Mutation("no-head-count", "attention.head_count", no_key("llama.attention.head_count")),
    Mutation("head-count-0", "attention.head_count is 0", key("llama.attention.head_count", u32(0))),
    Mutation("head-count-kv-0", "head_count_kv is 0", key("llama.attention.head_count_kv", u32(0))),
    Mutation("head-count-kv-3", "head_count_kv is 3", key("llama.attention.head_count_kv", u32(3))),
    Mutation("layers-too-few", "4 entries for 10", per_layer("llama.attention.head_count_kv", [2] * 4)),
    Mutation("last-layer-headless", "in layer 9", per_layer("llama.attention.head_count_kv", [2] * 9 + [0])),
    Mutation("value-length-32", "attention.value_length is 32", key("llama.attention.value_length", u32(32))),
    Mutation("rope-of-7", "rope.dimension_count is 7", key("llama.rope.dimension_count", u32(7))),
    Mutation("rope-scaling-unknown", "rope.scaling.type is 'x'", key("llama.rope.scaling.type", string("x"))),
    Mutation("feed-forward-0", "ffn_", key("llama.feed_forward_length", u32(0))),
    Mutation("experts-unused", "expert_used_count", key("llama.expert_count", u32(8))),
    Mutation("experts-used-unknown", "expert_used_count is 2 of 0", key("llama.expert_used_count", u32(2))),
    Mutation("experts-5000", "expert_count is 5000", key("llama.expert_count", u32(5000))),
    Mutation("nextn-11", "nextn_predict_layers is 11", key("llama.nextn_predict_layers", u32(11))),
    Mutation("epsilon-negative", "rms_epsilon", key("llama.attention.layer_norm_rms_epsilon", f32(-1.0))),
    Mutation("epsilon-nan", "rms_epsilon", key("llama.attention.layer_norm_rms_epsilon", f32(float("nan")))),
    Mutation("pooling-77", "pooling_type is 77", key("llama.pooling_type", u32(77))),
    Mutation("split-of-3", "split.count", key("split.count", u16(3))),
    Mutation("split-count-as-u32", "split.count is u32", key("split.count", u32(3))),
]

VOCABULARY = [
    Mutation("no-tokenizer", "tokenizer.ggml.model", no_key("tokenizer.ggml.model")),
    Mutation("tokenizer-unknown", "nonesuch", key("tokenizer.ggml.model", string("nonesuch"))),
    Mutation("splitter-unknown", "nonesuch", key("tokenizer.ggml.pre", string("nonesuch"))),
    Mutation("no-tokens", f"{TOKENS} is missing", no_key(TOKENS)),
    Mutation("tokens-empty", f"{TOKENS} must be", key(TOKENS, strings([]))),
    Mutation("tokens-as-numbers", f"{TOKENS} must be", key(TOKENS, array(I32, 4096, b"\0" * 4 * 4096))),
    Mutation("tokens-more", "token_type has 4096", tokens(lambda found: [*found, b"one more"])),
    Mutation("tokens-fewer", "eos_token_id is 4090", tokens(lambda found: found[:-100])),
    Mutation("token-twice", "id 9 twice", with_token(9, b"!")),
    Mutation("token-twice-before-a-zero", "id 9 twice", with_token(9, b"!\0x")),
    Mutation("token-of-a-megabyte", "longer than any", with_token(9, b"x" * 2**20)),
    Mutation("types-fewer", "token_type has 1", key("tokenizer.ggml.token_type", array(I32, 1, b"\0" * 4))),
    Mutation("types-as-text", "token_type", key("tokenizer.ggml.token_type", string("normal"))),
    Mutation("scores-fewer", "scores has 1", key("tokenizer.ggml.scores", array(F32, 1, b"\0" * 4))),
    Mutation("no-merges", "tokenizer.ggml.merges is missing", no_key("tokenizer.ggml.merges")),
    Mutation("merges-as-numbers", "tokenizer.ggml.merges", key("tokenizer.ggml.merges", array(I32, 1, b"\0" * 4))),
    Mutation("eos-out-of-range", "eos_token_id is 4096", key("tokenizer.ggml.eos_token_id", u32(4096))),
    Mutation("eos-as-text", "eos_token_id is string", key("tokenizer.ggml.eos_token_id", string("</s>"))),
    Mutation("add-bos-as-number", "add_bos_token is u32", key("tokenizer.ggml.add_bos_token", u32(1))),
    Mutation("rwkv-without-bytes", "single-byte tokens", rwkv_without_bytes),
]

MODEL_MUTATIONS = [*STRUCTURE, *TENSORS, *HYPERPARAMETERS, *VOCABULARY]

OTHER_FORMATS = [
    Mutation("zip", "zip archive", other_format(b"PK\x03\x04" + b"x" * 100)),
    Mutation("safetensors", "safetensors", other_format(struct.pack("<Q", 99) + b'{"weight":{"dtype":"F32"}}')),
    Mutation("html", "HTML", other_format(b"<!DOCTYPE html><html><body>Not found</body></html>")),
    Mutation("json", "JSON", other_format(b'{"error": "not found"}')),
    Mutation("git-lfs", "git lfs pull", other_format(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")),
    Mutation("gzip", "gzip", other_format(b"\x1f\x8b\x08" + b"x" * 100)),
    Mutation("old-ggml", "before GGUF", other_format(b"tjgg" + b"\2" * 100)),
    Mutation("zeros", "starts with zeros", other_format(b"\0" * 1000)),
    Mutation("text", "no GGUF model", other_format(b"nothing in particular, but rather long")),
]


def first_pair_ranks(file: Gguf) -> None:
    file.tensors[0].shape[1] = 4
    file.arrange()


def first_pair_inputs(file: Gguf) -> None:
    file.tensors[0].shape[0] = 128
    file.arrange()


def rename_first_pair(a: bytes, b: bytes) -> Change:
    def change(file: Gguf) -> None:
        file.tensors[0].name, file.tensors[1].name = a, b

    return change


ADAPTER_MUTATIONS = [
    Mutation("adapter-type-missing", "adapter.type is missing", no_key("adapter.type")),
    Mutation("adapter-type-other", "adapter.type is 'dora'", key("adapter.type", string("dora"))),
    Mutation("adapter-type-as-number", "adapter.type is u32", key("adapter.type", u32(1))),
    Mutation("no-general-type", "", no_key("general.type")),
    Mutation("general-type-as-flag", "general.type is bool", key("general.type", boolean(1))),
    Mutation("alpha-as-u32", "adapter.lora.alpha is u32", key("adapter.lora.alpha", u32(16))),
    Mutation("other-architecture", "", key("general.architecture", string("qwen2"))),
    Mutation("half-a-pair", "has no '.lora_b'", arranged(lambda file: file.tensors.remove(file.tensors[1]))),
    Mutation("ranks-differ", "ranks 4 and 8", first_pair_ranks),
    Mutation("too-many-dimensions", "too many dimensions", arranged(lambda file: file.tensors[0].shape.append(2))),
    Mutation("inputs-differ", "blk.0.attn_k.weight", first_pair_inputs),
    Mutation("no-lora-name", "neither '.lora_a'", rename_first_pair(b"x", b"y")),
    Mutation("no-such-target", "blk.77.attn_k", rename_first_pair(b"blk.77.attn_k.lora_a", b"blk.77.attn_k.lora_b")),
    Mutation("integers", "nothing can be computed", arranged(tensor("blk.0.attn_k.weight.lora_a", kind=26))),
    Mutation("adapter-cut", "bytes are missing", of_size(lambda file: file.full_size() - 1000)),
    Mutation("no-matrices", "tensor count", arranged(lambda file: file.tensors.clear())),
    Mutation("alora-tokens-as-text", "invocation_tokens", key("adapter.alora.invocation_tokens", string("x"))),
    Mutation("empty-name", "tensor name", tensor("blk.0.attn_k.weight.lora_a", name=b"")),
    Mutation(
        "text-not-utf-8", None, lambda file: file.metadata.append((b"x", struct.pack("<I", STRING) + text(b"\xff\xfe")))
    ),
]
