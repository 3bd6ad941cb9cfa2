"""`x-shimmy-context`: what of a prompt was kept, told before the answer begins."""

from __future__ import annotations

from contextvars import ContextVar

from shimmy.output import ContextUse
from shimmy.server.request_tracker import TrackedRequest

NAME = "x-shimmy-context"

_opened: ContextVar[list[TrackedRequest] | None] = ContextVar("opened_requests", default=None)


def begin() -> None:
    """A call begins: what is noted from here on is of its requests."""
    _opened.set([])


def note(tracked: TrackedRequest) -> None:
    opened = _opened.get()
    if opened is not None:
        opened.append(tracked)


def headers() -> dict[str, str]:
    """Of the first of the call's requests whose answer has begun; none where the context_policy is error."""
    for tracked in _opened.get() or ():
        if tracked.usage.context is not None:
            return {NAME: header_of(tracked.usage.context)}
    return {}


def header_of(use: ContextUse) -> str:
    return (
        f"{use.policy}; prompt={use.prompt_tokens}; kept={use.kept}; dropped={use.dropped}; "
        f"dropped-messages={use.dropped_messages}"
    )
