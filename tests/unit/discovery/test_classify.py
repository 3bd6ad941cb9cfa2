from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import header, model_bytes, tensor

from shimmy.demo_model import demo_adapter_paths, demo_model_path
from shimmy.discovery.classify import classify
from shimmy.discovery.gguf_header import read_header
from shimmy.discovery.quantization import quantization

NO_TEMPLATE = {"tokenizer.chat_template": None}
CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "chat"),
    (NO_TEMPLATE, "base"),
    ({**NO_TEMPLATE, "general.finetune": "Instruct"}, "chat"),
    ({**NO_TEMPLATE, "general.name": "Gemma 2 2b It"}, "chat"),
    ({**NO_TEMPLATE, "general.name": "Titan Italic"}, "base"),
    ({"general.architecture": "bert"}, "embedding"),
    ({"general.architecture": "bert", "bert.pooling_type": 4}, "rerank"),
    ({"general.architecture": "qwen3", "qwen3.pooling_type": 3}, "embedding"),
    ({"general.architecture": "qwen3", "qwen3.pooling_type": 4}, "rerank"),
    ({"general.architecture": "qwen3", "qwen3.pooling_type": 0}, "chat"),
    ({"general.architecture": "clip"}, "projector"),
    ({"general.type": "mmproj"}, "projector"),
    ({"general.type": "adapter", "adapter.type": "lora"}, "adapter"),
    ({"general.type": None, "adapter.type": "lora"}, "adapter"),
    ({"general.type": "imatrix"}, "unknown"),
    ({"general.architecture": None}, "unknown"),
    *(
        ({"general.architecture": name}, "unknown")
        for name in ("wavtokenizer-dec", "whisper", "wav2vec2", "vae", "flux")
    ),
    ({"general.architecture": "Whisper"}, "unknown"),
    *(({"general.architecture": name}, "draft") for name in ("eagle3", "dflash", "gemma4-assistant")),
    ({"general.architecture": "gemma-embedding"}, "embedding"),
    ({"general.architecture": "t5encoder"}, "embedding"),
    ({"general.architecture": "t5"}, "chat"),
    # How many heads were trained says nothing of what is in the file.
    ({"general.architecture": "glm4moe", "glm4moe.nextn_predict_layers": 1}, "chat"),
]
TRUNK = ("token_embd.weight", "blk.0.attn_norm.weight", "blk.1.attn_norm.weight")
HEADS = ("blk.2.attn_norm.weight", "blk.2.nextn.eh_proj.weight", "blk.3.nextn.eh_proj.weight")
TENSORS: list[tuple[tuple[str, ...], str]] = [
    (TRUNK, "chat"),
    ((*TRUNK, *HEADS), "chat"),
    (HEADS, "draft"),
    (("token_embd.weight", *HEADS, "output.weight"), "draft"),
    (("blk.0.nextn.eh_proj.weight",), "draft"),
    (("blk.99999999.nextn.eh_proj.weight", "blk.x.nextn.eh_proj.weight", "blk..nextn."), "chat"),
    (("nextn.pre_projection.weight",), "chat"),
]


@pytest.mark.parametrize(("metadata", "kind"), CASES)
def test_kind_comes_from_metadata(tmp_path: Path, metadata: dict[str, Any], kind: str) -> None:
    path = tmp_path / "chat-instruct-bert.gguf"
    path.write_bytes(model_bytes(metadata))
    assert classify(read_header(path)) == kind


@pytest.mark.parametrize(("tensors", "kind"), TENSORS)
@pytest.mark.parametrize("metadata", [{}, {"glm4moe.nextn_predict_layers": 2}])
def test_a_file_of_nothing_but_heads_is_a_draft(
    tmp_path: Path, metadata: dict[str, Any], tensors: tuple[str, ...], kind: str
) -> None:
    described = {"general.architecture": "glm4moe", "tokenizer.chat_template": "x", **metadata}
    path = tmp_path / "m.gguf"
    path.write_bytes(header(described, [tensor(name, [1]) for name in tensors]) + b"\0" * 64)
    assert classify(read_header(path)) == kind


def test_a_bare_tokenizer_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "vocab.gguf"
    path.write_bytes(header({"general.architecture": "llama", "tokenizer.ggml.model": "gpt2"}))
    assert classify(read_header(path)) == "unknown"


def test_the_demo_model() -> None:
    read = read_header(demo_model_path())
    assert classify(read) == "chat"
    assert quantization(read) == "Q8_0"
    assert {classify(read_header(path)) for path in demo_adapter_paths().values()} == {"adapter"}


@pytest.mark.parametrize(("number", "name"), [(15, "Q4_K_M"), (1024 + 7, "Q8_0"), (999_999, None), (None, None)])
def test_quantization_names(tmp_path: Path, number: int | None, name: str | None) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(model_bytes({"general.file_type": number}))
    assert quantization(read_header(path)) == name
