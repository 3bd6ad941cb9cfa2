"""What is a hang, and what is work."""

from __future__ import annotations

from collections.abc import Iterable

from shimmy.runner.frames import Pulse
from shimmy.runner.watchdog import Watchdog

PATIENCE = 20.0


def watch(pulses: Iterable[tuple[float, Pulse]], until: float, patience: float = PATIENCE) -> tuple[float, str] | None:
    """When and what a watchdog finds that looks once a second; each pulse is said again until the next one."""
    dog = Watchdog(patience, 0.0)
    coming, now = dict(pulses), 0.0
    last: Pulse | None = Pulse()
    while now < until:
        now += 1.0
        last = coming.get(now, last)
        if last is not None:
            dog.heard(now)
            dog.pulse(now, last)
        if wrong := dog.look(now):
            return now, wrong
    return None


def busy(seconds_per_step: float, tokens_per_step: int, until: float) -> Iterable[tuple[float, Pulse]]:
    for second in range(1, int(until)):
        steps = int(second / seconds_per_step)
        yield float(second), Pulse(1, steps, steps * tokens_per_step, steps * seconds_per_step)


def test_a_pulse_is_enough_when_there_is_nothing_to_do() -> None:
    assert watch([], 1000) is None
    assert watch([(5.0, Pulse(0, 10, 10, 1.0))], 1000) is None


def test_silence_is_a_hang() -> None:
    dog = Watchdog(PATIENCE, 0.0)
    dog.heard(5.0)
    for second in range(6, 26):
        assert dog.look(float(second)) is None
    assert dog.look(26.0) == "said nothing for 21 s"


def test_a_server_that_slept_itself_waits_anew() -> None:
    dog = Watchdog(PATIENCE, 0.0)
    assert dog.look(1.0) is None
    assert dog.look(500.0) is None
    for second in range(501, 521):
        assert dog.look(float(second)) is None
    assert dog.look(521.0) is not None


def test_steps_that_end_are_work_however_slow_they_are() -> None:
    for seconds in (0.01, 1.0, 45.0, 250.0):
        assert watch(busy(seconds, 1, 2000), 2000) is None, seconds


def test_a_step_that_does_not_end_is_a_hang() -> None:
    steps = [*busy(0.1, 8, 100), (100.0, Pulse(1, 990, 7920, 99.0))]
    found = watch(steps, 1000)
    assert found is not None
    assert found[1].startswith("has been in one step for")
    # four times 2,048 tokens at 12.5 ms each
    assert 100 + 102 <= found[0] <= 100 + 105


def test_the_first_step_may_take_long() -> None:
    found = watch([(1.0, Pulse(requests=1))], 1000)
    assert found is not None
    assert 600 <= found[0] <= 603


def test_no_patience_is_endless() -> None:
    assert watch([(1.0, Pulse(1, 5, 5, 0.1))], 1000, patience=0) is None
