"""What ends a generation: stop strings and stop tokens, and that no part of a stop string is ever shown."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from engine_fixtures import (
    GREEDY,
    LONG_ANSWER,
    LONG_QUESTION,
    QUESTIONS,
    Answer,
    Driver,
    ask_alone,
    open_engine,
    tokenizer,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from shimmy import _core

POEM = "Write a poem about the sea."
FOX = "Show me a fox emoji"


def pieces_of(text: str) -> st.SearchStrategy[str]:
    return st.builds(
        lambda at, length: text[at : at + length],
        st.integers(0, len(text) - 1),
        st.integers(1, 12),
    )


@cache
def engine() -> _core.Engine:
    """One engine for all examples: hypothesis runs many, and finished requests leave no trace but their prefix."""
    context = _core.ContextParams(n_ctx=1024, n_threads=1)
    return _core.Engine(tokenizer().model, context, _core.EngineParams(max_num_seqs=4))


@cache
def unstopped(question: str) -> tuple[str, ...]:
    return tuple(ask_alone(engine(), question).pieces)


def cut(pieces: Sequence[str], stops: list[str]) -> tuple[str, str | None]:
    """The text before the stop string that is complete first, and that one; the longest of those that end together."""
    text = "".join(pieces)
    found = [(text.index(stop) + len(stop), -len(stop), stop) for stop in stops if stop in text]
    if not found:
        return text, None
    end, _, stop = min(found)
    return text[: end - len(stop)], stop


def check(answer: Answer, pieces: Sequence[str], stops: list[str]) -> None:
    expected, stop = cut(pieces, stops)
    assert (answer.text, answer.reason) == (expected, "STOP")
    assert answer.last is not None
    assert answer.last.stop_string == stop
    shown = ""
    for piece in answer.pieces:
        shown += piece
        assert expected.startswith(shown)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(pieces_of(QUESTIONS[POEM]) | st.text("aeiou ,.\n", min_size=1, max_size=4), min_size=1, max_size=4))
def test_text_is_cut_at_the_first_stop_string(stops: list[str]) -> None:
    check(ask_alone(engine(), POEM, stop=stops), unstopped(POEM), stops)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(pieces_of(LONG_ANSWER[:60]), min_size=1, max_size=3))
def test_batched_requests_have_their_own_stop_strings(stops: list[str]) -> None:
    driver = Driver(engine())
    answers = [driver.ask(LONG_QUESTION, stop=[stop]) for stop in stops]
    driver.finish()
    for stop, answer in zip(stops, answers, strict=True):
        check(answer, unstopped(LONG_QUESTION), [stop])


def test_several_stop_strings() -> None:
    check(ask_alone(engine(), LONG_QUESTION, stop=["8", "5, 6, 7", "5, 6"]), unstopped(LONG_QUESTION), ["5, 6"])
    whole = ask_alone(engine(), POEM, stop=["sky", "day", "wide"])
    assert whole.text == QUESTIONS[POEM].split("day")[0]


def test_a_stop_string_over_several_tokens_of_one_character() -> None:
    answer = ask_alone(engine(), FOX, logprobs=0)
    assert len(answer.tokens) == 3
    assert answer.pieces == ["", "", "🦊", ""]
    stopped = ask_alone(engine(), FOX, stop=["🦊"])
    check(stopped, unstopped(FOX), ["🦊"])
    assert stopped.tokens == answer.tokens


def test_a_character_that_is_never_completed_is_replaced_at_the_end() -> None:
    answer = ask_alone(engine(), FOX, max_tokens=2)
    assert (answer.text, answer.reason) == ("\ufffd", "LENGTH")
    assert answer.pieces == ["", "\ufffd"]


def test_a_beginning_that_comes_to_nothing_is_shown_in_the_end() -> None:
    never = LONG_ANSWER[-6:] + "!"
    answer = ask_alone(engine(), LONG_QUESTION, stop=[never], speculation=False)
    assert (answer.text, answer.reason) == (LONG_ANSWER, "STOP")
    assert answer.last is not None
    assert answer.last.stop_string is None
    assert answer.pieces[-1] == LONG_ANSWER[-6:]


def test_a_beginning_is_shown_at_the_token_limit() -> None:
    answer = ask_alone(engine(), LONG_QUESTION, stop=["3, 4!"], max_tokens=10)
    assert (answer.text, answer.reason) == ("1, 2, 3, 4", "LENGTH")


def test_a_stop_string_on_the_last_token_allowed_is_a_stop() -> None:
    answer = ask_alone(engine(), LONG_QUESTION, stop=["4"], max_tokens=10)
    assert (answer.text, answer.reason, len(answer.tokens)) == ("1, 2, 3, ", "STOP", 10)


def test_stop_token_ids_are_not_shown_but_named_and_counted() -> None:
    four = tokenizer().encode("4")[0]
    answer = ask_alone(engine(), LONG_QUESTION, stop_token_ids=[four, 5])
    assert (answer.text, answer.reason) == ("1, 2, 3, ", "STOP")
    assert answer.last is not None
    assert (answer.last.stop_token, answer.last.stop_string) == (four, None)
    assert four not in answer.tokens
    assert answer.usage.completion_tokens == len(answer.tokens) + 1


def test_a_stop_token_holds_even_when_end_tokens_are_ignored() -> None:
    eos = tokenizer().eos
    assert eos is not None
    answer = ask_alone(engine(), "Who are you?", ignore_eos=True, stop_token_ids=[eos])
    assert (answer.text, answer.reason) == (QUESTIONS["Who are you?"], "STOP")


def test_stop_strings_hold_for_sampled_text_too() -> None:
    """Letters drawn at random: whatever comes, the stop string does not."""
    letters = dict.fromkeys((tokenizer().encode(letter)[0] for letter in "abc"), 1e9)
    for seed in range(20):
        sampling = _core.SamplingParams(seed=seed, logit_bias=letters)
        whole = ask_alone(engine(), "Who are you?", sampling, max_tokens=60).pieces
        answer = ask_alone(engine(), "Who are you?", sampling, max_tokens=60, stop=["abca", "cab"])
        expected, stop = cut(whole, ["abca", "cab"])
        assert answer.text == expected
        assert (answer.reason == "STOP") == (stop is not None)


def test_the_limits_of_stop_strings_are_accepted() -> None:
    stops = [f"{i}" + "x" * 4000 for i in range(64)]
    with open_engine() as other:
        answer = ask_alone(other, "Who are you?", GREEDY, stop=stops, stop_token_ids=list(range(64)))
        assert answer.reason == "STOP"
