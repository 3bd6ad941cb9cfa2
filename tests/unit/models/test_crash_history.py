"""When a model that crashes may be started again."""

from __future__ import annotations

from shimmy.models.crash_history import CrashHistory


def test_the_third_crash_in_a_row_and_each_after_it_cost_twice_the_rest() -> None:
    history, now = CrashHistory(), 1000.0
    rests = []
    for _ in range(11):
        history.record(now, "it was killed")
        rests.append(history.rest(now))
        now += rests[-1] + 1.0
        assert history.rest(now) == 0
    assert rests == [0, 0, 5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_what_goes_well_and_time_forgive() -> None:
    history = CrashHistory()
    for now in (0.0, 1.0):
        history.record(now, "it was killed")
    history.went_well()
    history.record(2.0, "it was killed")
    history.record(3.0, "it was killed")
    assert history.rest(3.0) == 0
    history.record(70.0, "it was killed")  # the first again
    history.record(71.0, "it was killed")
    assert history.rest(71.0) == 0
    history.record(72.0, "it ran out of memory")
    assert history.describe(73.0) == "it crashed 3 times in a row and rests for 4 s; last: it ran out of memory"
