"""Which prefixes come again, which stored one serves a prompt, and which files make way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shimmy.kv_store.budget import (
    DEFAULT_BYTES,
    MAX_AGE_SECONDS,
    CacheFile,
    accepts,
    budget_of,
    to_remove,
)
from shimmy.kv_store.prefix_file import MIN_TOKENS, Space, TokenArray
from shimmy.kv_store.prefix_index import PrefixIndex, StoredPrefix, common_prefix
from shimmy.kv_store.recurring_prefixes import MAX_PROMPTS, RecurringPrefix, RecurringPrefixes, worth_writing

ALICE = Space("alice")


def prompt(shared: int, n: int, seed: int) -> TokenArray:
    """`n` tokens of which the first `shared` are everybody's."""
    return np.concatenate([np.arange(shared), np.full(n - shared, -seed)]).astype(np.int32)


def recurring(*prompts: TokenArray, space: Space = ALICE) -> RecurringPrefixes:
    prefixes = RecurringPrefixes()
    for tokens in prompts:
        prefixes.add(RecurringPrefix(space, (), tokens))
    return prefixes


def found(prefixes: RecurringPrefixes) -> list[int]:
    return [len(one.tokens) for one in prefixes.found()]


def test_what_two_prompts_have_in_common_comes_again() -> None:
    assert found(recurring(prompt(300, 400, 1))) == []
    assert found(recurring(prompt(300, 400, 1), prompt(300, 500, 2))) == [300]
    assert found(recurring(prompt(255, 400, 1), prompt(255, 500, 2))) == []
    assert found(recurring(prompt(400, 400, 1), prompt(400, 400, 1))) == [400]
    assert found(recurring(prompt(300, 300, 1), prompt(400, 400, 1), prompt(500, 500, 1))) == [400, 300]


def test_tenants_and_adapters_have_nothing_in_common() -> None:
    prefixes = recurring(prompt(300, 400, 1))
    prefixes.add(RecurringPrefix(Space("bob"), (), prompt(300, 400, 2)))
    prefixes.add(RecurringPrefix(Space("alice", 1), (("pirate", 1.0),), prompt(300, 400, 3)))
    assert found(prefixes) == []


def test_what_was_dropped_comes_back_with_the_next_prompt() -> None:
    prefixes = recurring(prompt(300, 400, 1), prompt(300, 400, 2))
    prefixes.drop(prefixes.found()[0])
    assert found(prefixes) == []
    prefixes.add(RecurringPrefix(ALICE, (), prompt(300, 400, 3)))
    assert found(prefixes) == [300]


def test_what_is_remembered_is_bounded() -> None:
    prefixes = recurring(*(prompt(0, 256 + i, i + 1) for i in range(3 * MAX_PROMPTS)))
    for i in range(3 * MAX_PROMPTS):
        prefixes.add(RecurringPrefix(ALICE, (), prompt(300 + i, 700, i)))
    assert len(prefixes.found()) <= MAX_PROMPTS
    large = recurring(*(np.full(400_000, i, dtype=np.int32) for i in range(5)))
    large.add(RecurringPrefix(ALICE, (), np.full(400_000, 0, dtype=np.int32)))
    assert found(large) == []


@given(st.lists(st.integers(256, 100_000), min_size=1, max_size=40))
def test_a_growing_conversation_is_written_a_few_times_its_size(turns: list[int]) -> None:
    written, stored = 0, 0
    for n in sorted(turns):
        if worth_writing(n, stored):
            written, stored = written + n, n
    assert written <= 5 * stored
    assert max(turns) - stored < max(MIN_TOKENS, max(turns) / 4)


def stored(name: str, tokens: TokenArray, space: Space = ALICE) -> StoredPrefix:
    return StoredPrefix(Path(name), space, tokens, 0.0, 0, 4 * len(tokens))


def index_of(*prefixes: StoredPrefix) -> PrefixIndex:
    index = PrefixIndex()
    for one in prefixes:
        index.add(one)
    return index


def test_the_prefix_that_saves_most_is_found() -> None:
    short, long = stored("short", prompt(600, 600, 1)), stored("long", prompt(620, 8000, 2))
    index = index_of(short, long)
    assert index.find(ALICE, prompt(600, 700, 3)) == (short, 600)  # not 8,000 tokens read for 600
    assert index.find(ALICE, prompt(620, 8000, 2)) == (long, 8000)
    assert index.find(ALICE, prompt(200, 700, 3)) is None
    assert index.find(ALICE, prompt(600, 600, 1)[:200]) is None
    assert index.find(Space("bob"), prompt(600, 700, 3)) is None
    assert index.find(Space("alice", 1), prompt(600, 700, 3)) is None


def test_a_long_prefix_does_not_cover_a_short_one() -> None:
    index = index_of(stored("long", prompt(620, 8000, 2)))
    assert index.covered(ALICE, prompt(600, 700, 3)) == 0
    assert index.covered(ALICE, prompt(620, 5000, 2)) == 5000


def test_a_longer_prefix_takes_the_place_of_what_it_holds() -> None:
    system, turn, other = (
        stored("system", prompt(300, 300, 1)),
        stored("turn", prompt(1000, 1000, 1)),
        stored("other", prompt(900, 1000, 2)),
    )
    next_turn = stored("next", prompt(1400, 1400, 1))
    index = index_of(system, turn, other, next_turn)
    assert index.superseded(next_turn) == [turn]
    index.discard(turn.path)
    index.discard(turn.path)
    assert len(index) == 3


@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), max_size=20))
def test_a_common_prefix_is_the_longest(one: list[int], other: list[int]) -> None:
    n = common_prefix(np.array(one, dtype=np.int32), np.array(other, dtype=np.int32))
    assert one[:n] == other[:n]
    assert n == min(len(one), len(other)) or one[n] != other[n]


files = st.lists(
    st.builds(CacheFile, st.uuids().map(lambda name: Path(str(name))), st.integers(0, 100), st.floats(0, 2e6)),
    max_size=20,
)


@given(files, st.integers(0, 200), st.integers(0, 1000))
def test_files_make_way_oldest_first_and_no_more_than_needed(
    cached: list[CacheFile], n_bytes: int, budget: int
) -> None:
    now = 2e6
    removed = to_remove(cached, n_bytes, budget, now)
    kept = [file for file in cached if file not in removed]
    total = sum(file.n_bytes for file in kept)
    assert total + n_bytes <= budget or not kept
    assert all(now - file.used <= MAX_AGE_SECONDS for file in kept)
    assert all(gone.used <= file.used for gone in removed for file in kept)
    needed = [file for file in removed if now - file.used <= MAX_AGE_SECONDS]
    if needed:
        assert total + needed[-1].n_bytes + n_bytes > budget


def test_budgets() -> None:
    assert budget_of(0, 10**15, 0) == 0
    assert budget_of(123, 10**15, 0) == 123
    assert budget_of(None, 10**15, 0) == DEFAULT_BYTES
    assert budget_of(None, 9 << 30, 1 << 30) == 1 << 30
    assert accepts(50, 100)
    assert not accepts(51, 100)
