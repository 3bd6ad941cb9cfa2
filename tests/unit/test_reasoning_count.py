"""Which tokens of an answer count as reasoning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shimmy.reasoning_count import ReasoningCount

SIZE = st.integers(0, 20)


def test_markers_count_to_what_follows() -> None:
    count = ReasoningCount()
    for output in ((1, 0, 0), (1, 3, 0), (1, 0, 0), (2, 0, 5), (1, 0, 0)):  # <think>, hmm, </think>, an answer, its end
        count.add(*output)
    assert count.n_tokens == 2


def test_an_output_of_both_is_divided() -> None:
    count = ReasoningCount()
    count.add(10, 30, 10)
    assert count.n_tokens == 8


@given(st.lists(st.tuples(SIZE, SIZE, SIZE)))
def test_never_more_than_came(outputs: list[tuple[int, int, int]]) -> None:
    count = ReasoningCount()
    for output in outputs:
        count.add(*output)
    assert 0 <= count.n_tokens <= sum(n_tokens for n_tokens, _, _ in outputs)
    if not any(n_reasoning for _, n_reasoning, _ in outputs):
        assert count.n_tokens == 0
