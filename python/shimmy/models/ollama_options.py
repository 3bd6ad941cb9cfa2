"""What Ollama keeps beside a model, made into our own settings and defaults."""

from __future__ import annotations

from typing import Any

import msgspec

from shimmy.discovery.ollama_layers import OllamaLayers
from shimmy.request_defaults import RequestDefaults
from shimmy.sampling_fields import SamplingFields


class OllamaOptions(SamplingFields, kw_only=True):
    """The parameters of a Modelfile that mean something here; those that tune Ollama's own runner are left out."""

    stop: str | list[str] | None = None
    num_predict: int | None = None
    """Negative: until the context is full."""
    num_ctx: int | None = None

    @property
    def max_tokens(self) -> int | None:
        limit = self.num_predict
        return limit if limit is not None and limit > 0 else None

    def stop_strings(self) -> list[str]:
        return [text for text in ([self.stop] if isinstance(self.stop, str) else self.stop or []) if text]


def options_of(parameters: dict[str, Any]) -> OllamaOptions:
    """Raises msgspec.ValidationError for one of a wrong type."""
    return msgspec.convert(parameters, OllamaOptions, strict=False, str_keys=True)


def defaults_of(layers: OllamaLayers, options: OllamaOptions, lora: dict[str, float]) -> RequestDefaults:
    """What applies to its requests; `lora` are the adapters that it was made with."""
    return RequestDefaults(
        sampling=options.sampling(),
        stop=options.stop_strings(),
        max_tokens=options.max_tokens,
        system=layers.system,
        messages=[dict(message) for message in layers.messages],
        lora=lora,
    )
