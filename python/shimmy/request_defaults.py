"""What applies to the requests for one model where they say nothing themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.samples import nth_seed


class RequestDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """From the model's settings, or from what Ollama keeps beside it."""

    sampling: dict[str, Any] = {}
    """Fields of `GenerateRequest.sampling`."""
    stop: list[str] = []
    max_tokens: int | None = None
    system: str | None = None
    """For conversations that bring no system message."""
    messages: list[dict[str, Any]] = []
    """What every conversation begins with, behind its system message."""
    lora: dict[str, float] = {}
    """Adapters of requests that name none; one that names an adapter with scale 0 goes without."""
    chosen: dict[str, float] = {}
    """Adapters that the name of the model names: they apply unless a request says another scale for them."""

    def request(self, request: GenerateRequest, protocol: Mapping[str, Any], index: int = 0) -> GenerateRequest:
        """`request` completed. `protocol` are the sampling defaults of its route, which come last; `index` tells
        requests for one prompt apart, so that a seed of ours gives them different answers.
        """
        sampling = {**protocol, **self.sampling, **request.sampling}
        if "seed" in self.sampling and "seed" not in request.sampling:
            sampling["seed"] = nth_seed(self.sampling["seed"], index)
        return msgspec.structs.replace(
            request,
            prompt=self.conversation(request.prompt) if isinstance(request.prompt, ChatPrompt) else request.prompt,
            sampling=sampling,
            stop=request.stop or self.stop,
            max_tokens=self.max_tokens if request.max_tokens is None else request.max_tokens,
            lora=self.adapters(request.lora),
        )

    def adapters(self, asked: Mapping[str, float]) -> dict[str, float]:
        """Adapters with their scales for a request that asks for these."""
        return {**self.chosen, **asked} or self.lora

    def conversation(self, prompt: ChatPrompt) -> ChatPrompt:
        """`prompt` with the system message and the messages that come first, unless it has them already or goes on
        from an earlier one.
        """
        if prompt.context or (not self.messages and self.system is None):
            return prompt
        first = [message for message in prompt.messages[:1] if _is_system(message)]
        rest = prompt.messages[len(first) :]
        if self.system is not None and not any(_is_system(message) for message in prompt.messages):
            first = [{"role": "system", "content": self.system}]
        shots = [] if rest[: len(self.messages)] == self.messages else self.messages
        return msgspec.structs.replace(prompt, messages=[*first, *shots, *rest])


def _is_system(message: dict[str, Any]) -> bool:
    return message.get("role") in ("system", "developer")
