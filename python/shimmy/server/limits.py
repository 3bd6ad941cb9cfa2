"""Limits on how many requests may come in a minute, and on how many may be under way: of each key, and of all."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shimmy.server.auth import Key, scope_for, tenant
from shimmy.server.errors import HttpError
from shimmy.server.refusal import refuse
from shimmy.settings import Settings

WINDOW_SECONDS = 60.0

_CODE = "rate_limit_exceeded"
_FREE = re.compile(r"/api/show|/(v1/)?responses/[^/]+/cancel|/v1/training/status")
"""What is posted and asks no model for anything."""


class LimitError(HttpError):
    """429, of the limit called so in the settings."""

    def __init__(self, limit: str, message: str, retry_after: float) -> None:
        super().__init__(429, message, _CODE, retry_after=retry_after)
        self.limit = limit


class Allowance(msgspec.Struct, frozen=True):
    """How much one caller, or all together, may ask for; None is without limit."""

    requests_per_minute: int | None = None
    """In any 60 seconds."""
    concurrent_requests: int | None = None


class Quota:
    """What was used of one allowance. `who` names the callers in the error; `of` begins the names of its limits."""

    def __init__(self, who: str, of: str, allowance: Allowance, clock: Callable[[], float]) -> None:
        self._who = who
        self._of = of
        self._allowance = allowance
        self._clock = clock
        self._times: deque[float] = deque()
        self._running = 0

    @property
    def unlimited(self) -> bool:
        return self._allowance == Allowance()

    def allow(self, allowance: Allowance) -> None:
        """From now on that much; what was used stays used."""
        self._allowance = allowance

    def check(self) -> None:
        """LimitError, with the seconds after which it is worth trying again, when nothing is left."""
        most = self._allowance.concurrent_requests
        if most is not None and self._running >= most:
            raise LimitError(
                f"{self._of}concurrent_requests",
                f"{self._running} requests of {self._who} are under way, the most that are allowed: "
                "wait until one has ended",
                retry_after=1,
            )
        limit = self._allowance.requests_per_minute
        if limit is not None and self._recent() >= limit:
            wait = self._times[0] + WINDOW_SECONDS - self._clock()
            raise LimitError(
                f"{self._of}requests_per_minute",
                f"{self._who} may make {limit} requests per minute and did: try again in {wait:.1f} s",
                retry_after=wait,
            )

    def take(self) -> None:
        """Count one request, which `check` let pass."""
        self._running += 1
        if self._allowance.requests_per_minute is not None:
            self._times.append(self._clock())

    def leave(self) -> None:
        """It has ended."""
        self._running -= 1

    def headers(self) -> dict[str, str]:
        """OpenAI's headers about the rate; none without one."""
        limit = self._allowance.requests_per_minute
        if limit is None:
            return {}
        n_recent = self._recent()
        reset = self._times[-1] + WINDOW_SECONDS - self._clock() if n_recent else 0.0
        return {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(max(0, limit - n_recent)),
            "x-ratelimit-reset-requests": f"{reset:.3f}s",
        }

    def _recent(self) -> int:
        begin = self._clock() - WINDOW_SECONDS
        while self._times and self._times[0] <= begin:
            self._times.popleft()
        return len(self._times)


def _rate(quotas: tuple[Quota, ...]) -> dict[str, str]:
    return next((headers for quota in quotas if (headers := quota.headers())), {})


class Place:
    """One request among those under way."""

    def __init__(self, quotas: tuple[Quota, ...]) -> None:
        self.quotas = quotas
        self._n_holds = 0

    def hold(self) -> Hold:
        self._n_holds += 1
        return Hold(self)

    def let_go(self) -> None:
        self._n_holds -= 1
        if self._n_holds == 0:
            for quota in self.quotas:
                quota.leave()


class Hold:
    """Keeps a request's place, which is free once every hold of it was released."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._released = False

    @property
    def counts(self) -> bool:
        """False where there are no limits."""
        return bool(self._place.quotas)

    @property
    def headers(self) -> dict[str, str]:
        """Of the first quota that has a rate: the caller's own before that of all."""
        return _rate(self._place.quotas)

    def share(self) -> Hold:
        """Another one."""
        return self._place.hold()

    def release(self) -> None:
        """Idempotent."""
        if not self._released:
            self._released = True
            self._place.let_go()

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_hold: ContextVar[Hold | None] = ContextVar("hold", default=None)


class Limiter:
    """Counts requests by tenant and altogether, and in `refused` those that were over a limit. Everything happens on
    the event loop's thread.
    """

    def __init__(
        self,
        settings: Settings,
        keys: Mapping[str, Key],
        clock: Callable[[], float] = time.monotonic,
        refused: Counter[str] | None = None,
    ) -> None:
        self._refused: Counter[str] = Counter() if refused is None else refused
        self._clock = clock
        self._quotas: dict[str, Quota] = {}
        self._keyless = Quota("callers without a key", "key_", Allowance(), clock)
        self._all = Quota("all callers together", "", Allowance(), clock)
        self.limit(settings, keys)

    def limit(self, settings: Settings, keys: Mapping[str, Key]) -> None:
        """Put other limits in force; requests under way and of the last minute count on."""
        each = Allowance(settings.key_requests_per_minute, settings.key_concurrent_requests)
        self._all.allow(Allowance(settings.requests_per_minute, settings.concurrent_requests))
        self._keyless.allow(each)
        before = self._quotas
        self._quotas = {}
        for name, key in keys.items():
            allowance = _allowance_of(key, each)
            self._quotas[name] = before.get(name) or Quota(f"key {name!r}", "key_", allowance, self._clock)
            self._quotas[name].allow(allowance)

    def admit(self) -> Hold:
        """Count a request of this task's tenant. LimitError when it is one too many; then it does not count."""
        quotas = self._of_caller()
        try:
            for quota in quotas:
                quota.check()
        except LimitError as error:
            self._refused[error.limit] += 1
            raise
        for quota in quotas:
            quota.take()
        return Place(quotas).hold()

    def headers(self) -> dict[str, str]:
        """About the rate of this task's tenant, also for one that was refused."""
        return _rate(self._of_caller())

    def _of_caller(self) -> tuple[Quota, ...]:
        own = self._quotas.get(tenant.get(), self._keyless)
        return tuple(quota for quota in (own, self._all) if not quota.unlimited)

    @staticmethod
    def share() -> Hold:
        """The place of this task's request, for work that goes on after its answer; release it when that ends."""
        held = _hold.get()
        return Place(()).hold() if held is None else held.share()


def _allowance_of(key: Key, each: Allowance) -> Allowance:
    """A key's own numbers, and those of every key where it has none."""
    return Allowance(
        each.requests_per_minute if key.requests_per_minute is None else key.requests_per_minute,
        each.concurrent_requests if key.concurrent_requests is None else key.concurrent_requests,
    )


class Limits:
    """Refuses with 429, before the body is read, what is more than `limiter` allows.

    Counted is what asks a model for something: what is posted, except for the routes of administrators. A request is
    under way until its answer was sent or its client left.
    """

    def __init__(self, app: ASGIApp, limiter: Limiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_counted(scope):
            await self._app(scope, receive, send)
            return
        try:
            hold = self._limiter.admit()
        except HttpError as error:
            await refuse(scope, receive, send, error, *_raw(self._limiter.headers()))
            return
        _hold.set(hold)

        async def send_and_release(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_raw(hold.headers)]
            elif not message.get("more_body", False):
                hold.release()  # first, for a client that asks again at once
            await send(message)

        with hold:
            await self._app(scope, receive, send_and_release if hold.counts else send)


def is_counted(scope: Scope) -> bool:
    """Sockets are not: each generation on one is."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    return scope_for(scope["path"]) != "admin" and _FREE.fullmatch(scope["path"]) is None


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
