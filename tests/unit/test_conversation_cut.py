"""Which messages go: a model of tokens in which each word is one, and a message's frame four more."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shimmy.conversation_cut import ConversationCut, Cut, droppable, text_of

STEP = 1


def size(text: str) -> int:
    return len(text.split())


def count(messages: list[dict[str, Any]]) -> int:
    return sum(size(text_of(message)) + 4 for message in messages)


def words(role: str, n: int, word: str = "w") -> dict[str, Any]:
    return {"role": role, "content": " ".join([word] * n)}


def call(name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": "{}"}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": name, "function": function}]}


def cut(messages: list[dict[str, Any]], limit: int, step: int = STEP) -> Cut | None:
    return ConversationCut(messages, count, size).find(count(messages), limit, step)


CHAT = [
    words("system", 10),
    words("user", 20),
    words("assistant", 20),
    words("user", 20),
    words("assistant", 20),
    words("user", 20),
]
AGENT = [
    words("system", 5),
    words("user", 5),
    call("a"),
    words("tool", 30),
    call("b"),
    words("tool", 30),
    words("tool", 30),
    words("assistant", 5),
    call("c"),
    words("tool", 10),
]


def test_whole_turns_are_groups() -> None:
    assert droppable(CHAT) == [[1, 2], [3, 4]]


def test_rounds_of_the_last_turn_are_groups_after_the_turns() -> None:
    assert droppable(AGENT) == [[2, 3], [4, 5, 6], [7]]
    later = [*AGENT, words("user", 1)]
    assert droppable(later) == [[1, 2, 3, 4, 5, 6, 7, 8, 9]]


def test_a_greeting_goes_first_and_late_system_messages_stay() -> None:
    messages = [words("assistant", 1), words("user", 1), words("developer", 1), words("assistant", 1), words("user", 1)]
    assert droppable(messages) == [[0], [1, 3]]


def test_nothing_of_a_single_message_is_a_group() -> None:
    assert droppable([words("user", 5)]) == droppable([words("system", 5)]) == droppable([]) == []


def test_the_oldest_turn_goes_first() -> None:
    left = cut(CHAT, 90)
    assert left is not None
    assert left.kept == [0, 3, 4, 5]
    assert left.messages == [CHAT[index] for index in left.kept]


def test_no_more_goes_than_must_but_for_the_step() -> None:
    messages = [words("system", 10)]
    for _ in range(10):
        messages += [words("user", 8), words("assistant", 8)]
    messages.append(words("user", 8))
    n = count(messages)

    def n_gone(limit: int, step: int) -> int:
        left = cut(messages, limit, step)
        assert left is not None
        return len(messages) - len(left.kept)

    assert n_gone(n - 1, 1) == 2
    assert n_gone(n - 1, 60) == n_gone(n - 60, 60) == 6
    assert n_gone(n - 61, 60) == 10


def test_a_long_conversation_keeps_what_fits() -> None:
    messages = [words("user" if n % 2 == 0 else "assistant", 1 + n % 7) for n in range(2001)]
    left = cut(messages, 1000, 100)
    assert left is not None
    assert 1000 - 100 - 25 <= count(left.messages) <= 1000


def test_frames_of_short_messages_count() -> None:
    messages = [words("user" if n % 2 == 0 else "assistant", 1) for n in range(401)]
    left = cut(messages, count(messages) - 500, 100)
    assert left is not None
    assert 500 <= 5 * (401 - len(left.kept)) <= 510


def test_a_growing_conversation_keeps_its_beginning_for_several_turns() -> None:
    messages = [words("system", 10)]
    beginnings = []
    for _ in range(40):
        messages += [words("user", 8), words("assistant", 8)]
        asked = [*messages, words("user", 8)]
        if count(asked) > 200:
            left = cut(asked, 200, 60)
            assert left is not None
            beginnings.append(left.kept[1])
    changes = sum(before != after for before, after in pairwise(beginnings))
    assert changes <= len(beginnings) // 2


def test_a_call_stays_with_its_results() -> None:
    left = cut(AGENT, count(AGENT) - 10)
    assert left is not None
    assert left.kept == [0, 1, 4, 5, 6, 7, 8, 9]


def test_texts_lose_their_middle_when_messages_are_not_enough() -> None:
    document = {"role": "user", "content": " ".join(f"w{i}" for i in range(1000))}
    left = cut([words("system", 10), document], 200)
    assert left is not None
    text = left.messages[1]["content"]
    assert (text[:3], text[-4:], left.kept) == ("w0 ", "w999", [0, 1])
    assert 150 < count(left.messages) <= 200
    assert left.messages[0] == words("system", 10)


def test_the_longest_texts_are_cut_to_one_length() -> None:
    messages = [words("user", 300), call("a"), words("tool", 40), words("tool", 400)]
    left = cut(messages, 260)
    assert left is not None
    sizes = [size(message["content"] or "") for message in left.messages]
    assert (sizes[1], sizes[2]) == (0, 40)
    assert abs(sizes[0] - sizes[3]) <= 2
    assert count(left.messages) <= 260


def test_a_system_prompt_that_is_too_long_is_not_cut() -> None:
    assert cut([words("system", 300), words("user", 10)], 200) is None


ROLES = st.sampled_from(["system", "user", "assistant", "call", "tool"])


@given(st.lists(st.tuples(ROLES, st.integers(0, 60)), min_size=1, max_size=25), st.integers(1, 300), st.integers(1, 50))
def test_any_conversation(shape: list[tuple[str, int]], limit: int, step: int) -> None:
    messages = [call("f") if role == "call" else words(role, n) for role, n in shape]
    n = count(messages)
    if n <= limit:
        return
    groups = droppable(messages)
    assert sorted(index for group in groups for index in group) == sorted({i for group in groups for i in group})
    left = cut(messages, limit, step)
    if left is None:
        return
    assert count(left.messages) <= limit
    gone = set(range(len(messages))) - set(left.kept)
    assert not any(messages[index]["role"] == "system" for index in gone)
    users = [index for index, message in enumerate(messages) if message["role"] == "user"]
    assert not users or users[-1] in left.kept
    for index, message in enumerate(messages[1:], 1):
        before = max((i for i in range(index) if messages[i]["role"] != "system"), default=None)
        if message["role"] == "tool" and before is not None and messages[before]["role"] != "user":
            assert (index in gone) == (before in gone), "a result without its call"
