"""Tells a runner that hangs from one that is busy: a pure function of what it said and when."""

from __future__ import annotations

from shimmy.runner.frames import Pulse

_MOST_STEP_TOKENS = 2048
"""What a step computes at most, unless n_batch was raised."""
_FEW, _SOME, _MANY = 3, 10, 30
_TOKENS_SLACK = 4


class Watchdog:
    """`patience` is in seconds; 0 never finds anything. Times are seconds of one clock.

    A runner hangs when it says nothing for as long as that, though its pulse comes twice a second, or when it has
    requests and one step takes longer than three times as long, ten times the slowest step so far, and four times what
    as many tokens as a step can have would take at the cost of those so far. The first step may take thirty times as
    long: it reads the weights from the disk.
    """

    def __init__(self, patience: float, now: float) -> None:
        self._patience = patience
        self._looked = now
        self._heard = now
        self._advanced = now  # the last time that a step had ended, or none was due
        self._pulse = Pulse()
        self._slowest = 0.0

    def heard(self, now: float) -> None:
        """The runner sent something."""
        self._heard = now

    def pulse(self, now: float, pulse: Pulse) -> None:
        """It told how far it is."""
        before, self._pulse = self._pulse, pulse
        if pulse.steps > before.steps:
            seconds = (pulse.step_seconds - before.step_seconds) / (pulse.steps - before.steps)
            self._slowest = max(self._slowest, seconds)
        if pulse.steps > before.steps or pulse.requests == 0:
            self._advanced = now

    def look(self, now: float) -> str | None:
        """Called about once a second. What is wrong with the runner, such as "said nothing for 20 s", or None."""
        if self._patience <= 0:
            return None
        if now - self._looked > self._patience / 2:  # we were stopped or starved ourselves
            self._heard = self._advanced = now
        self._looked = now
        if now - self._heard > self._patience:
            return f"said nothing for {now - self._heard:.0f} s"
        if now - self._advanced > self.step_limit:
            return f"has been in one step for {now - self._advanced:.0f} s"
        return None

    @property
    def step_limit(self) -> float:
        """Seconds that a step may take now."""
        if self._pulse.steps == 0:
            return _MANY * self._patience
        token = self._pulse.step_seconds / max(1, self._pulse.computed_tokens)
        return max(_FEW * self._patience, _SOME * self._slowest, _TOKENS_SLACK * _MOST_STEP_TOKENS * token)
