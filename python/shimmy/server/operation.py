"""What a route says of itself, beside its handler: what it takes, what it answers and how it may refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from typing import Any, TypeVar

import msgspec

from shimmy.server import context_header, sse

JSON = "application/json"
EVENTS = sse.MEDIA_TYPE
LINES = "application/x-ndjson"
BYTES = "application/octet-stream"
TEXT = "text/plain"

MODEL_ERRORS = (400, 404, 429, 502, 503)
"""Of a route that has a model work."""

MODEL_HEADER = "x-shimmy-model"
ANSWER_HEADERS = (context_header.NAME, MODEL_HEADER)
"""Of a route that has a model generate."""

Handler = TypeVar("Handler", bound=Callable[..., Any])

_ATTRIBUTE = "operation"


class Family(Enum):
    """Whose clients a route is for."""

    OPENAI = "OpenAI"
    ANTHROPIC = "Anthropic"
    OLLAMA = "Ollama"
    LLAMA_SERVER = "llama-server"
    SHIMMY = "shimmy"


@dataclass(frozen=True, eq=False)
class Operation:
    """A decorator for handlers; the handler's docstring is the rest of the description.

    Types are those that msgspec decodes and encodes; a tuple of types means one of them.
    """

    family: Family
    summary: str
    _: KW_ONLY
    body: Any = None
    """The type of the body; None: it takes none."""
    takes: str = JSON
    """The media type of the body."""
    may_be_empty: bool = False
    """Whether the body may be left out."""
    example: Mapping[str, Any] | list[Any] = field(default_factory=dict)
    """A body that works, with the embedded model."""
    query: type[msgspec.Struct] | None = None
    """Its fields are the parameters after the question mark."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Request headers that change the answer -> how."""
    answers: Mapping[str, Any] = field(default_factory=dict)
    """Media type -> the type of what is answered; of a stream (EVENTS, LINES), of each of its parts."""
    statuses: tuple[int, ...] = (200,)
    """Of what went well."""
    sends: tuple[str, ...] = ()
    """Response headers that it may send beside those of every route."""
    errors: tuple[int, ...] = ()
    """Statuses beside those that every route has: a body's 400, 408, 413 and 503, 403 and 429, and 401 with keys."""

    def __call__(self, handler: Handler) -> Handler:
        setattr(handler, _ATTRIBUTE, self)
        return handler


def operation_of(endpoint: object) -> Operation | None:
    """What a route's endpoint, or the handler that it wraps, declares; None when it declares nothing."""
    found = getattr(endpoint, _ATTRIBUTE, None)
    return found if isinstance(found, Operation) else None
