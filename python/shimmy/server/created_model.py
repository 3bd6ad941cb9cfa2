"""What POST /api/create asks for, made into a record."""

from __future__ import annotations

import re
import time
from typing import Any

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.library.record import Record
from shimmy.models.entry import ModelEntry
from shimmy.server.model_parameters import check_parameters
from shimmy.server.schemas.decoding import check_size
from shimmy.server.schemas.ollama_library import CreateRequest
from shimmy.templates.choose import families, family_template

_GO_TEMPLATE = re.compile(r"\{\{-?\s*(?:\.|\$|(?:if|range|else|end|with|define|template|block)\b)")
_ROLES = ("system", "user", "assistant")
_REFUSED = {
    "adapters": "name adapters in a request's lora instead",
    "quantize": "pull or convert the quantization that you want",
    "quantization": "pull or convert the quantization that you want",
    "modelfile": "send from, system, template and parameters instead",
    "path": "send from, or files with the digests of blobs",
}


def copied(entry: ModelEntry, name: str) -> Record:
    """A record of the same model under another name."""
    record = entry.record or Record(name=name, created=0, base=entry.name)
    return msgspec.structs.replace(record, name=name, created=time.time())


def created(body: CreateRequest, name: str, entry: ModelEntry | None, files: tuple[str, ...]) -> Record:
    """A model like that of `entry`, or of `files`, with what the request changes of it.

    InvalidRequestError names what cannot be honoured.
    """
    for field, instead in _REFUSED.items():
        if getattr(body, field):
            raise InvalidRequestError(f"{field} is not supported: {instead}", field)
    record = Record(name=name, created=time.time(), files=files) if entry is None else copied(entry, name)
    changes: dict[str, Any] = {}
    if body.template:
        changes["template"] = _template(body.template)
    if body.system is not None:
        changes["system"] = body.system
    if body.license:
        changes["license"] = tuple([body.license] if isinstance(body.license, str) else body.license)
    if body.parameters:
        check_size(body.parameters, "parameters")
        said = {key: value for key, value in body.parameters.items() if value is not None}
        check_parameters(said)
        changes["parameters"] = {**record.parameters, **said}
    if body.messages:
        for index, message in enumerate(body.messages):
            if message.role not in _ROLES:
                place = f"messages[{index}].role"
                raise InvalidRequestError(f"{place} must be one of {', '.join(_ROLES)}, got {message.role!r}", place)
        changes["messages"] = msgspec.to_builtins(body.messages)
    return msgspec.structs.replace(record, **changes)


def _template(text: str) -> str:
    """A family's, by its name, or Jinja as it is."""
    if text in families():
        return family_template(text)
    if _GO_TEMPLATE.search(text):
        raise InvalidRequestError(
            "template is in Go's template language: give Jinja, the name of a family "
            f"({', '.join(families())}), or nothing, which keeps the model's own",
            "template",
        )
    return text
