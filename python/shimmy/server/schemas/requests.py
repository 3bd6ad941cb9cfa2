"""/v1/requests: what comes in and what goes out."""

from __future__ import annotations

from typing import Literal

import msgspec

from shimmy.server.schemas.generation import GenerationFields
from shimmy.server.schemas.native import NativeUsage
from shimmy.server.schemas.sampling import Count


class RequestLine(msgspec.Struct, kw_only=True):
    """One request. Times are seconds since the epoch."""

    id: str
    object: str = "request"
    request_id: str | None
    """The header `request-id` of the answer that it is a part of; null on a WebSocket."""
    model: str
    state: str
    """queued, running, finished, cancelled or failed."""
    queue_position: int | None
    """How many of its model wait before it."""
    created: float
    ended: float | None
    finish_reason: str | None
    error: str | None
    n_tokens: int
    usage: NativeUsage
    forked_from: str | None = None


class RequestDetail(RequestLine, kw_only=True):
    text: str
    reasoning: str
    token_ids: list[int]


class RequestPage(msgspec.Struct, kw_only=True):
    object: str = "list"
    data: list[RequestLine]


class ForkRequest(GenerationFields, kw_only=True):
    """Go on from a token of another request's answer; what is not said is as it was there."""

    at: Count | None = None
    """How many tokens of the answer to keep; all of them when absent."""
    max_tokens: Count | None = None
    stream: bool | None = None


class RequestFilter(msgspec.Struct, kw_only=True):
    """The parameters of GET /v1/requests."""

    state: Literal["queued", "running", "finished", "cancelled", "failed"] | None = None
    request_id: str | None = None
