from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.context_policy import (
    POLICIES,
    answer_limit,
    check_policy,
    cut_step,
    policy_of,
    prompt_limit,
    shifts,
    truncates,
    without_middle,
)
from shimmy.errors import InvalidRequestError


def test_what_each_policy_allows() -> None:
    assert [(truncates(check_policy(policy)), shifts(policy)) for policy in POLICIES] == [
        (False, False), (True, False), (False, True), (True, True)
    ]  # fmt: skip


def test_an_unknown_policy_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequestError, match=r"one of error, truncate_middle, shift, .*, got 'middle'") as caught:
        check_policy("middle")
    assert caught.value.param == "context_policy"


@pytest.mark.parametrize(
    ("truncate", "shift", "policy"),
    [
        (None, None, None),
        (True, None, "truncate_middle"),
        (True, False, "truncate_middle"),
        (None, True, "shift"),
        (False, True, "shift"),
        (True, True, "truncate_middle+shift"),
        (False, False, "error"),
        (False, None, "error"),
    ],
)
def test_two_flags_mean_a_policy(truncate: bool | None, shift: bool | None, policy: str | None) -> None:
    assert policy_of(truncate, shift) == policy


@pytest.mark.parametrize(
    ("max_tokens", "limit"), [(None, 768), (100, 924), (0, 1023), (1, 1023), (512, 512), (2**31, 512)]
)
def test_room_for_the_answer(max_tokens: int | None, limit: int) -> None:
    assert prompt_limit(1024, max_tokens) == limit


def test_an_answer_that_shifts_ends_some_time() -> None:
    assert answer_limit(1024, "shift", None, 0) == 10240
    assert answer_limit(1024, "truncate_middle+shift", None, 99999) == 99999
    assert answer_limit(1024, "shift", 20000, 0) == 20000
    assert answer_limit(1024, "truncate_middle", None, 0) is None


def test_steps_are_an_eighth() -> None:
    assert (cut_step(1024), cut_step(4)) == (128, 1)


@given(st.integers(2, 60), st.data(), st.one_of(st.none(), st.integers(-1, 80)))
def test_both_ends_of_tokens_stay(n: int, data: st.DataObject, n_keep: int | None) -> None:
    tokens = list(range(n))
    limit = data.draw(st.integers(1, n - 1))
    left = without_middle(tokens, limit, n_keep)
    assert len(left) == limit
    assert left == sorted(set(left))
    assert left[-1] == n - 1
    head = limit // 2 if n_keep is None or n_keep < 0 else min(n_keep, limit - 1)
    assert left[:head] == tokens[:head]
