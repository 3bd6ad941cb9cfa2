from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import header, model_bytes

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
    ({"general.architecture": "wavtokenizer-dec"}, "unknown"),
]


@pytest.mark.parametrize(("metadata", "kind"), CASES)
def test_kind_comes_from_metadata(tmp_path: Path, metadata: dict[str, Any], kind: str) -> None:
    path = tmp_path / "chat-instruct-bert.gguf"
    path.write_bytes(model_bytes(metadata))
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
