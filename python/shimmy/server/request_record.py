"""What became of one HTTP request, socket or generation on one, for those who tell of it: the log and the traces."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shimmy.server.errors import Problem
from shimmy.server.request_id import clients_id
from shimmy.server.request_id import current as current_id
from shimmy.server.request_tracker import TrackedRequest

CLIENT_LEFT = 499
"""nginx's status for a client that left before its answer began."""

Observer: TypeAlias = Callable[["RequestRecord"], None]

_PROBES = frozenset(("/health", "/metrics"))


class RequestRecord:
    """Filled while the request is worked on; complete when `observers` get it, once everyone who held it let it go."""

    def __init__(self, scope: Scope, observers: Sequence[Observer]) -> None:
        self.scope = scope
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        self.client: str | None = (scope.get("client") or (None,))[0]
        """The address that it came from, of a proxy when there is one."""
        self.status = CLIENT_LEFT
        self.began_ns = time.time_ns()
        self.request_id = current_id.get()
        self.client_request_id = clients_id(scope)
        """What the client calls it."""
        self.key = ""
        """The name of the API key."""
        self.error: str | None = None
        """The code of the error that was answered, else its type."""
        self.generations: list[TrackedRequest] = []
        self.seconds = 0.0
        self._model: str | None = None
        self._prompt_tokens: int | None = None
        self._begin = time.perf_counter()
        self._observers = observers
        self._n_holds = 1

    @property
    def route(self) -> str | None:
        """The pattern that the path matched; None when there is no such route, or nobody looked for it."""
        if "endpoint" not in self.scope:
            return None
        if not self.scope.get("path_params"):
            return self.path
        matching = (route for route in self.scope["app"].routes if route.matches(self.scope)[0] is not Match.NONE)
        return getattr(next(matching, None), "path", None)

    @property
    def is_probe(self) -> bool:
        """What machines ask for every few seconds, answered well."""
        return self.path in _PROBES and self.status == 200

    @property
    def model(self) -> str | None:
        return self.generations[0].model if self.generations else self._model

    @property
    def seconds_to_first_token(self) -> float | None:
        firsts = [one.first_output for one in self.generations if one.first_output is not None]
        return min(firsts) - self._begin if firsts else None

    @property
    def prompt_tokens(self) -> int | None:
        """Several choices of one prompt share it."""
        return self._per_prompt([one.usage.prompt_tokens for one in self.generations], max, self._prompt_tokens)

    @property
    def cached_tokens(self) -> int | None:
        """As prompt_tokens; the other choices reuse what the first one computes."""
        return self._per_prompt([one.usage.cached_tokens for one in self.generations], min, None)

    @property
    def completion_tokens(self) -> int | None:
        return sum(one.usage.completion_tokens for one in self.generations) if self.generations else None

    @property
    def finish_reasons(self) -> list[str]:
        """Of each generation, "error" for one that failed."""
        return [one.finish_reason or ("error" if one.error else "cancelled") for one in self.generations]

    def note_embedding(self, model: str, prompt_tokens: int) -> None:
        self._model = model
        self._prompt_tokens = prompt_tokens

    def part(self) -> RequestRecord:
        """Of some of the work of a socket, which may go on for days, to be let go when that is done."""
        part = RequestRecord(self.scope, self._observers)
        part.status, part.key = self.status, self.key
        return part

    def hold(self) -> None:
        """For work that goes on after the answer."""
        self._n_holds += 1

    def let_go(self) -> None:
        self._n_holds -= 1
        if self._n_holds == 0:
            self.seconds = time.perf_counter() - self._begin
            for observer in self._observers:
                observer(self)

    def _per_prompt(self, counts: Sequence[int], choose: Callable[[int, int], int], without: int | None) -> int | None:
        found: dict[int, int] = {}
        for one, count in zip(self.generations, counts, strict=True):
            prompt = id(one.request.prompt)
            found[prompt] = choose(found.get(prompt, count), count)
        return sum(found.values()) if self.generations else without


_current: ContextVar[RequestRecord | None] = ContextVar("request_record", default=None)


def current_record() -> RequestRecord | None:
    """That of this task's request; None when nobody observes."""
    return _current.get()


@contextmanager
def recorded_apart() -> Iterator[None]:
    """What this task does in the block has a record of its own, if anyone observes."""
    whole = _current.get()
    if whole is None:
        yield
        return
    part = whole.part()
    token = _current.set(part)
    try:
        yield
    finally:
        _current.reset(token)
        part.let_go()


def note_error(problem: Problem) -> None:
    """What this task's request is answered with."""
    if (record := _current.get()) is not None:
        record.error = problem.code or problem.type


class Recorder:
    """Keeps a record of each request and shows it to `observers` at its end: of a socket, when it was closed, behind
    those of its generations; of a response in the background, when that has ended.
    """

    def __init__(self, app: ASGIApp, observers: Sequence[Observer]) -> None:
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        record = RequestRecord(scope, self._observers)
        _current.set(record)

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            elif message["type"] == "websocket.accept":
                record.status = 101
            elif message["type"] == "websocket.close" and record.status == CLIENT_LEFT:
                record.status = 403  # what a server answers to a handshake that is refused
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            record.let_go()
