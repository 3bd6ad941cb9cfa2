"""The one table from errors to HTTP, and the shapes that our protocols give them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import msgspec

from shimmy import errors
from shimmy.errors import ShimmyError
from shimmy.library.egress import DownloadError, UnreachableError
from shimmy.server import request_id
from shimmy.server.schemas.errors import AnthropicError, AnthropicProblem, NativeError, OpenAiError, OpenAiProblem
from shimmy.settings import SettingsError


class Row(NamedTuple):
    """How one class of errors is told; `type` and `code` are OpenAI's fields of those names."""

    error: type[ShimmyError]
    status: int
    type: str
    code: str | None
    permanent: bool = False
    """True when a retry cannot help although the status says 5xx."""


class HttpError(ShimmyError):
    """What the HTTP layer itself refuses."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after
        """In seconds."""


TABLE = (
    Row(errors.PromptTooLongError, 400, "invalid_request_error", "context_length_exceeded"),
    Row(errors.InvalidRequestError, 400, "invalid_request_error", None),
    Row(errors.TemplateError, 400, "invalid_request_error", "template_error"),
    Row(errors.ModelNotFoundError, 404, "not_found_error", "model_not_found"),
    Row(errors.ToolNotFoundError, 404, "not_found_error", "tool_not_found"),
    Row(errors.QueueFullError, 429, "rate_limit_exceeded", "rate_limit_exceeded"),
    Row(errors.ModelTooLargeError, 400, "invalid_request_error", "insufficient_memory"),
    Row(errors.ModelLoadError, 502, "server_error", "model_load_failed", permanent=True),
    Row(errors.EngineDeadError, 502, "server_error", "engine_dead"),
    Row(errors.OutOfMemoryError, 503, "unavailable_error", "out_of_memory"),
    Row(SettingsError, 400, "invalid_request_error", "bad_settings"),
    Row(UnreachableError, 503, "unavailable_error", "host_unreachable"),
    Row(DownloadError, 424, "invalid_request_error", "download_failed"),
    Row(errors.ModelNotReadyError, 503, "unavailable_error", "model_not_ready"),
    Row(ShimmyError, 500, "server_error", None),
)
"""First match wins, so subclasses stand before their bases. What cannot be mended by asking again is 4xx, because the
SDKs of OpenAI and Anthropic ask again after any 5xx. A model that does not load is the exception: shimmy's users know
its 502 from the tool of that name, so `x-should-retry: false`, which those SDKs obey, says the rest.
"""

_HTTP_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_exceeded",
    501: "not_supported_error",
    503: "unavailable_error",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error as HTTP tells it, before a protocol gives it its shape."""

    status: int
    message: str
    type: str
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = {}
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


def problem_of(error: ShimmyError) -> Problem:
    """Look an error up in the table."""
    if isinstance(error, HttpError):
        kind = "server_error" if error.status >= 500 else "invalid_request_error"
        return Problem(
            status=error.status,
            message=error.message,
            type=_HTTP_TYPES.get(error.status, kind),
            code=error.code,
            param=error.param,
            headers=_headers_of(error),
        )
    row = next(row for row in TABLE if isinstance(error, row.error))
    headers: dict[str, str] = {}
    if isinstance(error, errors.QueueFullError | errors.ModelNotReadyError):
        headers["retry-after"] = _seconds(error.retry_after)
    elif row.status == 503:
        headers["retry-after"] = "1"
    elif row.permanent:
        headers["x-should-retry"] = "false"
    numbers: dict[str, Any] = {}
    if isinstance(error, errors.PromptTooLongError):
        numbers = {"n_prompt_tokens": error.n_prompt_tokens, "n_ctx": error.n_ctx}
    param = error.param if isinstance(error, errors.InvalidRequestError) else None
    if isinstance(error, errors.ModelNotFoundError | errors.ModelTooLargeError):
        param = "model"
    return Problem(
        status=row.status,
        message=error.message,
        type=row.type,
        code=row.code,
        param=param,
        headers=headers,
        **numbers,
    )


def _headers_of(error: HttpError) -> dict[str, str]:
    if error.retry_after is not None:
        return {"retry-after": _seconds(error.retry_after)}
    # What is left of a body that came too slowly is not waited for.
    return {"connection": "close"} if error.status == 408 else {}


def _seconds(retry_after: float) -> str:
    """As a header has them: whole ones, and not none."""
    return str(max(1, math.ceil(retry_after)))


ErrorShape: TypeAlias = Callable[[Problem], bytes]


def openai_error(problem: Problem) -> bytes:
    """`OpenAiError`, with both numbers when a prompt is too long."""
    error = OpenAiProblem(message=problem.message, type=problem.type, param=problem.param, code=problem.code)
    if problem.n_prompt_tokens is not None and problem.n_ctx is not None:
        error.n_prompt_tokens, error.n_ctx = problem.n_prompt_tokens, problem.n_ctx
    return msgspec.json.encode(OpenAiError(error=error))


def openai_error_about(prompt: str) -> ErrorShape:
    """`openai_error` of a route that has its prompt in the field `prompt`: one that is too long names that."""

    def shape(problem: Problem) -> bytes:
        named = problem if problem.n_prompt_tokens is None else msgspec.structs.replace(problem, param=prompt)
        return openai_error(named)

    return shape


_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def anthropic_error(problem: Problem) -> bytes:
    """`AnthropicError`, with the id of this task's request. A prompt that is too long is told in Anthropic's own words
    first, by which agents know that they have to shorten it.
    """
    kind = _ANTHROPIC_TYPES.get(problem.status, "api_error" if problem.status >= 500 else "invalid_request_error")
    message = problem.message
    if problem.n_prompt_tokens is not None and problem.n_ctx is not None:
        most = problem.n_ctx - 1  # with one token for the answer
        counts = f"{problem.n_prompt_tokens} tokens > {most} maximum; " if problem.n_prompt_tokens > most else ""
        message = f"prompt is too long: {counts}{message}"
    error = AnthropicProblem(type=kind, message=message)
    return msgspec.json.encode(AnthropicError(error=error, request_id=request_id.current.get()))


def native_error(problem: Problem) -> bytes:
    """`NativeError`"""
    return msgspec.json.encode(NativeError(error=problem.message))


def shape_for(path: str) -> ErrorShape:
    """The shape that callers of `path` understand, for errors that no route raised."""
    if path.startswith(("/api/", "/ws/")):
        return native_error
    return anthropic_error if path == "/v1/messages" or path.startswith("/v1/messages/") else openai_error
