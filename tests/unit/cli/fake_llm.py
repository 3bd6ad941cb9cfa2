"""Stands in for the native runtime: the interface of `shimmy.LLM` that the commands use."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec

from shimmy.errors import InvalidRequestError, ModelLoadError
from shimmy.model_info import LoadSpec, ModelInfo
from shimmy.output import RequestOutput, Usage
from shimmy.request import ChatPrompt

BUILD = {"version": "1.2.3", "llama_cpp_commit": "0c1e570", "backends": ["CPU"], "cpu_features": ["AVX2", "FMA"]}
DEVICE = SimpleNamespace(
    name="CPU", description="A fine CPU", type="cpu", backend="CPU", memory_free=1 << 30, memory_total=1 << 31
)


class FakeLLM:
    """Answers with what it was asked. `calls` holds (prompt, options) of every generation."""

    loaded: list[LoadSpec]
    calls: list[tuple[Any, dict[str, Any]]]
    broken = ""

    def __init__(self, spec: LoadSpec, progress: Any = None) -> None:
        if self.broken == "load":
            raise ModelLoadError(f"{spec.path}: the tensors\nare missing")
        self.loaded.append(spec)
        if progress is not None:
            progress(0.5)
        self.closed = False
        self.tokenizer = SimpleNamespace(encode=lambda text: list(range(10)))
        self.info = ModelInfo(
            name=spec.name,
            path=spec.path,
            architecture="llama",
            description="llama 10.9M Q8_0",
            n_params=1,
            size_bytes=1,
            n_ctx_train=2048,
            n_ctx=1024,
            n_seq_max=1,
            n_vocab=10,
            devices=["CPU"],
        )

    def __enter__(self) -> FakeLLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def stream(
        self,
        prompt: str | list[int] | ChatPrompt,
        *,
        max_tokens: int | None = None,
        lora: dict[str, float] | None = None,
        ignore_eos: bool = False,
        **sampling: Any,
    ) -> Iterator[RequestOutput]:
        self.calls.append((prompt, {"max_tokens": max_tokens, "lora": lora, "ignore_eos": ignore_eos, **sampling}))
        if self.broken == "generate":
            raise InvalidRequestError("temperature must not be negative", param="temperature")
        yield RequestOutput(request_id="1", reasoning="hm ", token_ids=[5])
        yield RequestOutput(request_id="1", text="Hello", token_ids=[6])
        usage = Usage(
            prompt_tokens=512, cached_tokens=12, completion_tokens=64, prefill_seconds=0.5, decode_seconds=0.63
        )
        yield RequestOutput(request_id="1", text=" there", token_ids=[7], finish_reason="stop", usage=usage)

    def generate(self, prompt: str, **options: Any) -> Any:
        outputs = list(self.stream(prompt, **options))
        return msgspec.structs.replace(outputs[-1], text="Hello there")
