"""Who makes way for whom."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.models.residency import NOTHING, Budget, Bytes, Refusal, Resident, make_room, total

GIB = 1 << 30


def resident(name: str, ram: float, last_used: float = 0, busy: str = "", *, pinned: bool = False) -> Resident:
    return Resident(name=name, holds=Bytes(ram), last_used=last_used, busy=busy, pinned=pinned)


def of(ram: float) -> Budget:
    return Budget(Bytes(ram), Bytes(ram))


def test_those_unused_for_longest_go_first() -> None:
    residents = [resident("new", 3, 30), resident("old", 3, 10), resident("older", 3, 5)]
    assert make_room(Bytes(1), residents, of(10)) == ()
    assert make_room(Bytes(3), residents, of(10)) == ("older",)
    assert make_room(Bytes(5), residents, of(10)) == ("older", "old")
    assert make_room(Bytes(10), residents, of(10)) == ("older", "old", "new")


def test_who_would_not_help_stays() -> None:
    residents = [resident("small", 1, 5), resident("large", 6, 10), resident("new", 1, 20)]
    assert make_room(Bytes(8), residents, of(10)) == ("large",)


def test_both_kinds_of_memory_count() -> None:
    on_gpu = Resident(name="gpu", holds=Bytes(1, 8), last_used=9)
    on_cpu = Resident(name="cpu", holds=Bytes(8, 0), last_used=1)
    budget = Budget(Bytes(20, 10), Bytes(20, 10))
    assert make_room(Bytes(1, 5), [on_gpu, on_cpu], budget) == ("gpu",)
    assert make_room(Bytes(15, 5), [on_gpu, on_cpu], budget) == ("cpu", "gpu")


def test_busy_and_pinned_ones_stay() -> None:
    residents = [resident("busy", 4, 1, "in use"), resident("pinned", 3, 2, pinned=True), resident("idle", 2, 3)]
    assert make_room(Bytes(3), residents, of(10)) == ("idle",)
    refusal = make_room(Bytes(4), residents, of(10))
    assert isinstance(refusal, Refusal)
    assert not refusal.permanent
    assert [one.name for one in refusal.holders] == ["busy", "pinned"]
    never = make_room(Bytes(8), residents, of(10))
    assert isinstance(never, Refusal)
    assert never.permanent


def test_a_refusal_has_the_numbers() -> None:
    residents = [resident("busy", 4 * GIB, 1, "in use"), resident("kept", 3.5 * GIB, 2, pinned=True)]
    refusal = make_room(Bytes(5 * GIB), residents, of(10 * GIB))
    assert isinstance(refusal, Refusal)
    assert refusal.describe() == (
        "it needs 5.0 GiB of memory and the budget is 10.0 GiB; held by busy 4.0 GiB (in use), kept 3.5 GiB (pinned)"
    )
    tight = Budget(Bytes(10 * GIB), Bytes(3 * GIB))
    others = make_room(Bytes(4 * GIB), [], tight)
    assert isinstance(others, Refusal)
    assert not others.permanent
    assert others.describe() == (
        "it needs 4.0 GiB of memory and the budget is 10.0 GiB, of which other programs leave 3.0 GiB"
    )
    gpu = make_room(Bytes(1, 9 * GIB), [], Budget(Bytes(10 * GIB, 8 * GIB), Bytes(10 * GIB, 8 * GIB)))
    assert isinstance(gpu, Refusal)
    assert gpu.permanent
    assert gpu.describe() == "it needs 9.0 GiB of GPU memory and the budget is 8.0 GiB"


sizes = st.integers(0, 50)
residents_of_any_kind = st.lists(
    st.tuples(sizes, sizes, st.integers(0, 9), st.sampled_from(["", "", "in use"]), st.booleans()), max_size=6
).map(
    lambda rows: [
        Resident(name=str(i), holds=Bytes(ram, vram), last_used=used, busy=busy, pinned=pinned)
        for i, (ram, vram, used, busy, pinned) in enumerate(rows)
    ]
)
amounts = st.builds(Bytes, sizes, sizes)


@given(amounts, residents_of_any_kind, st.builds(Bytes, st.integers(0, 120), st.integers(0, 120)))
def test_it_fits_with_nobody_gone_in_vain(need: Bytes, residents: list[Resident], room: Bytes) -> None:
    budget = Budget(room, room)
    found = make_room(need, residents, budget)
    if isinstance(found, Refusal):
        stay = total(one for one in residents if not one.movable)
        assert not (need + stay).fits(room)
        assert found.holders == tuple(one for one in residents if not one.movable)
        assert found.describe()
        return
    gone = [one for one in residents if one.name in found]
    assert all(one.movable for one in gone)
    left = total(residents) - total(gone)
    assert (need + left).fits(room)
    for one in gone:
        assert not (need + left + one.holds).fits(room)


@given(residents_of_any_kind, st.builds(Bytes, st.integers(0, 120), st.integers(0, 120)))
def test_trimming_takes_no_more_than_what_is_over(residents: list[Resident], room: Bytes) -> None:
    found = make_room(NOTHING, residents, Budget(room, room))
    if total(residents).fits(room):
        assert found == ()


@given(amounts, residents_of_any_kind, st.builds(Bytes, st.integers(0, 120), st.integers(0, 120)))
def test_what_was_used_last_goes_last(need: Bytes, residents: list[Resident], room: Bytes) -> None:
    found = make_room(need, residents, Budget(room, room))
    if isinstance(found, Refusal) or not found:
        return
    youngest = max(one.last_used for one in residents if one.name in found)
    older = [one for one in residents if one.movable and one.last_used < youngest]
    # Without the youngest, even if all that are older went, it would not fit.
    assert not (need + total(residents) - total(older)).fits(room)


@given(st.lists(sizes.filter(bool), min_size=1, max_size=6), st.integers(1, 100))
def test_fewer_would_not_do(rams: list[int], need: int) -> None:
    residents = [resident(str(i), ram, i) for i, ram in enumerate(rams)]
    found = make_room(Bytes(need), residents, of(100))
    if isinstance(found, Refusal):
        pytest.fail("all of them may go")
    everybody = [one.holds.ram for one in residents]
    over = need + sum(everybody) - 100
    if over > 0:  # no single one of those that go could have stayed
        gone = [one.holds.ram for one in residents if one.name in found]
        assert sum(gone) >= over
        assert all(sum(some) < over for n in range(len(gone)) for some in combinations(gone, n))
