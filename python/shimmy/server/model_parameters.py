"""The parameters that a model can be created with."""

from __future__ import annotations

from typing import Any

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.sampling_fields import SamplingFields
from shimmy.server.schemas.ollama import Options

LOADING = "num_ctx"
"""The one parameter that says how a model is loaded."""

_SAID = frozenset(SamplingFields.__struct_fields__) | {"stop", "num_predict"}


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
