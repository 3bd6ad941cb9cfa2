"""What a model is asked with unless a request says otherwise: its system prompt, messages and parameters."""

from __future__ import annotations

from typing import Any

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.library.record import Record
from shimmy.models.registry import ModelEntry
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server.schemas.ollama import Options
from shimmy.server.schemas.sampling import SamplingFields

LOADING = "num_ctx"
"""The one parameter that says how a model is loaded."""

_SAID = frozenset(SamplingFields.__struct_fields__) | {"stop", "num_predict"}


class Preset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nothing at all, for most models."""

    system: str = ""
    messages: list[dict[str, Any]] = []
    sampling: dict[str, Any] = {}
    stop: list[str] = []
    max_tokens: int | None = None

    def opened(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The conversation with the preset's own beginning. A system prompt in it stands for the preset's."""
        before = [*self.messages]
        if self.system and not any(message["role"] in ("system", "developer") for message in messages):
            before.insert(0, {"role": "system", "content": self.system})
        elif messages and messages[0]["role"] in ("system", "developer"):
            return [messages[0], *before, *messages[1:]]
        return [*before, *messages]

    def applied(self, request: GenerateRequest) -> GenerateRequest:
        """The request, completed where it says nothing."""
        if self == Preset():
            return request
        prompt = request.prompt
        if isinstance(prompt, ChatPrompt) and not prompt.context:
            prompt = msgspec.structs.replace(prompt, messages=self.opened(prompt.messages))
        return msgspec.structs.replace(
            request,
            prompt=prompt,
            sampling={**self.sampling, **request.sampling},
            stop=request.stop or self.stop,
            max_tokens=self.max_tokens if request.max_tokens is None else request.max_tokens,
        )


def preset_of(entry: ModelEntry) -> Preset:
    """InvalidRequestError when the model's record holds parameters that mean nothing."""
    record = entry.record
    if record is None:
        return Preset()
    options = options_of(record)
    limit = options.num_predict
    return Preset(
        system=record.system,
        messages=list(record.messages),
        sampling=options.sampling(),
        stop=options.stop_strings(),
        max_tokens=None if limit is None or limit < 0 else limit,
    )


def options_of(record: Record) -> Options:
    """The parameters of a record. InvalidRequestError names the one at fault."""
    try:
        return msgspec.convert(record.parameters, Options)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"the parameters of {record.name}: {error}", "parameters") from error


def check_parameters(parameters: dict[str, Any]) -> None:
    """InvalidRequestError (param "parameters.NAME") for one that cannot be honoured, or not with that value."""
    for name, value in parameters.items():
        param = f"parameters.{name}"
        if name not in _SAID | {LOADING}:
            raise InvalidRequestError(
                f"{param} cannot be honoured; known are {', '.join(sorted(_SAID | {LOADING}))}", param
            )
        if name == LOADING and not (isinstance(value, int) and 16 <= value <= 16_777_216):
            raise InvalidRequestError(f"{param} must be an integer of 16 to 16777216, got {value!r}", param)
    for name, value in parameters.items():
        try:
            msgspec.convert({name: value}, Options).stop_strings()
        except (msgspec.ValidationError, InvalidRequestError) as error:
            reason = str(error).partition(" - at ")[0]
            raise InvalidRequestError(f"parameters.{name}: {reason}", f"parameters.{name}") from error
