"""One log line for each request: what it was, how long it took, and what it came to."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server.request_record import RequestRecord

logger = logging.getLogger("shimmy.access")


class AccessLog:
    """An observer of requests. Prompts are told only when `prompts` asks for them; nothing else of a body ever is."""

    def __init__(self, *, prompts: bool) -> None:
        self._prompts = prompts

    def __call__(self, record: RequestRecord) -> None:
        level = logging.DEBUG if record.is_probe else logging.INFO
        if logger.isEnabledFor(level):
            logger.log(level, "request", extra=self._fields(record))

    def _fields(self, record: RequestRecord) -> dict[str, Any]:
        """Without what there is nothing to tell of."""
        first = record.seconds_to_first_token
        route = record.route
        fields: dict[str, Any] = {
            "method": record.method,
            "route": route,
            "path": None if record.path == route else record.path,
            "status": record.status,
            "duration_ms": _milliseconds(record.seconds),
            "request_id": record.request_id,
            "client_request_id": record.client_request_id,
            "client": record.client,
            "key": record.key or None,
            "model": record.model,
            "ttft_ms": None if first is None else _milliseconds(first),
            "prompt_tokens": record.prompt_tokens,
            "cached_tokens": record.cached_tokens,
            "completion_tokens": record.completion_tokens,
            "finish_reason": ",".join(record.finish_reasons) or None,
            "error": record.error,
        }
        if self._prompts and record.generations:
            fields["prompts"] = _prompts_of(record)
        return {name: value for name, value in fields.items() if value is not None}


def _prompts_of(record: RequestRecord) -> list[Any]:
    """Each one once: several choices share it."""
    requests = {id(one.request.prompt): one.request for one in record.generations}
    return [_prompt_of(request) for request in requests.values()]


def _prompt_of(request: GenerateRequest) -> Any:
    prompt = request.prompt
    return msgspec.to_builtins(prompt.messages) if isinstance(prompt, ChatPrompt) else prompt


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
