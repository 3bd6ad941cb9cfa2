"""How long one loaded model stays when nobody uses it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable


class Stay:
    """The one place that decides it: a pinned model stays; else what requests asked for last counts, then its settings.

    `leave` is called on the event loop once the model was idle for that long.
    """

    def __init__(self, leave: Callable[[], None]) -> None:
        self.keep_alive = math.inf
        """Seconds by its settings."""
        self.pinned = False
        self._leave = leave
        self._asked: float | None = None
        self._idle_since: float | None = None  # by time.time()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def seconds(self) -> float:
        """How long it stays idle; infinity: for ever."""
        if self.pinned:
            return math.inf
        return self.keep_alive if self._asked is None else self._asked

    @property
    def expires_at(self) -> float:
        """The earliest time at which it leaves, in seconds since the epoch; infinity: never."""
        return (time.time() if self._idle_since is None else self._idle_since) + self.seconds

    def ask(self, seconds: float | None) -> None:
        """What a request wants for the time after it, until another one wants something else; None: nothing."""
        if seconds is not None:
            self._asked = seconds
            self._restart()

    def configure(self, keep_alive: float, *, pinned: bool) -> None:
        """Settings that hold from now on."""
        self.keep_alive, self.pinned = keep_alive, pinned
        self._restart()

    def begin(self) -> None:
        """Nobody uses it from now on."""
        self._idle_since = time.time()
        self._restart()

    def interrupt(self) -> None:
        """Somebody uses it."""
        self._idle_since = None
        self._restart()

    def end(self) -> None:
        """It is unloaded; what requests asked for is forgotten."""
        self._asked = None
        self.interrupt()

    def _restart(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._idle_since is not None and self.seconds < math.inf:
            left = self._idle_since + self.seconds - time.time()
            # Of a change of the machine's clock it must not be told later than it was promised.
            delay = min(max(left, 0.0), self.seconds)
            self._timer = asyncio.get_running_loop().call_later(delay, self._leave)
