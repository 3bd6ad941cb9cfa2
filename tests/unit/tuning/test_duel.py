from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.tuning.duel import Duel, Gain

RATIO = st.floats(0.2, 5.0)


def fought(*ratios: float, guard: float = 1.0) -> Duel:
    """One workload decides, in rounds with these gains; another is guarded."""
    duel = Duel(["work"], ["guard"])
    for ratio in ratios:
        duel.add({"work": ratio, "guard": guard}, {"work": 1.0, "guard": 1.0})
    return duel


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((), "open"),
        ((1.1, 1.1, 1.1), "open"),
        ((1.1, 1.1, 1.1, 1.1), "better"),
        ((1.1, 0.5, 1.1, 1.1), "open"),
        ((1.1, 0.5, 1.1, 1.1, 1.1, 1.1, 1.1), "better"),
        ((0.5, 3.0, 3.0, 3.0, 3.0, 3.0, 0.9), "no gain"),
        ((1.01, 1.0), "no gain"),
        ((1.019, 1.019), "no gain"),
    ],
)
def test_a_challenger_has_to_win_again_and_again(ratios: tuple[float, ...], verdict: str) -> None:
    assert fought(*ratios).verdict == verdict


def test_a_duel_can_ask_for_more() -> None:
    duel = Duel(["work"], min_gain=0.2)
    for _ in range(2):
        duel.add({"work": 1.19}, {"work": 1.0})
    assert duel.verdict == "no gain"


@pytest.mark.parametrize(("guard", "verdict"), [(1.0, "better"), (0.985, "better"), (0.97, "mixed"), (0.5, "mixed")])
def test_no_workload_may_get_slower(guard: float, verdict: str) -> None:
    assert fought(2.0, 2.0, 2.0, 2.0, guard=guard).verdict == ("better" if verdict == "better" else "open")
    duel = fought(*[2.0] * 7, guard=guard)
    assert duel.verdict == verdict
    assert duel.lost_workloads == ([] if verdict == "better" else ["guard"])


@pytest.mark.parametrize(
    ("guards", "lost"),
    [
        ((0.9, 0.92, 0.9, 0.92, 1.0, 0.9, 1.0), ["guard"]),  # by more than they spread
        ((0.7, 1.4, 0.8, 1.3, 0.9, 1.2, 0.6), []),  # they spread by more than it seems to lose
    ],
)
def test_a_loss_has_to_be_larger_than_the_noise(guards: tuple[float, ...], lost: list[str]) -> None:
    duel = Duel(["work"], ["guard"])
    for guard in guards:
        duel.add({"work": 2.0, "guard": guard}, {"work": 1.0, "guard": 1.0})
    assert duel.lost_workloads == lost


def test_workloads_decide_together() -> None:
    duel = Duel(["one", "other"])
    for _ in range(4):
        duel.add({"one": 1.3, "other": 0.99}, {"one": 1.0, "other": 1.0})
    assert duel.verdict == "better"
    assert duel.gains() == {"one": Gain(1.3, 1.3, 1.3), "other": Gain(0.99, 0.99, 0.99)}


@given(st.lists(RATIO, max_size=12))
def test_it_ends_after_seven_rounds_and_never_adopts_what_lost_half(ratios: list[float]) -> None:
    duel = Duel(["work"])
    for ratio in ratios:
        if duel.verdict != "open":
            break
        duel.add({"work": ratio}, {"work": 1.0})
    assert duel.n_rounds <= 7
    if duel.verdict == "better":
        won = sum(ratio > 1.02 for ratio in ratios[: duel.n_rounds])
        assert won >= duel.n_rounds - duel.n_rounds // 7
        assert duel.gains()["work"].median >= 1.02


@given(st.lists(RATIO, min_size=1, max_size=7), st.floats(0.01, 100.0))
def test_only_ratios_count(ratios: list[float], scale: float) -> None:
    slow, fast = Duel(["work"]), Duel(["work"])
    for ratio in ratios:
        slow.add({"work": ratio}, {"work": 1.0})
        fast.add({"work": ratio * scale}, {"work": scale})
    assert slow.gains()["work"].median == pytest.approx(fast.gains()["work"].median, rel=1e-3)
