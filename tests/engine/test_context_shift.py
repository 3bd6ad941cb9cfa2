"""Context shift: an answer that fills the context goes on without half of the tokens behind the first `n_keep`.

These are computed again, so the answer is that of a request for what was kept; deterministic engines show it to the
last bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_fixtures import (
    GREEDY,
    LONG_ANSWER,
    LONG_QUESTION,
    QUESTIONS,
    Answer,
    Driver,
    ask_alone,
    chat,
    open_engine,
    tokenizer,
)
from grammar_walk import compiler
from lora_files import write_adapter_copy

from shimmy import _core, demo_adapter_paths
from shimmy.errors import InvalidRequestError

N_CTX = 256
WHO = "Who are you?"


def kept_after_shift(tokens: list[int], n_keep: int) -> list[int]:
    return tokens[:n_keep] + tokens[n_keep + (len(tokens) - n_keep) // 2 :]


def shifted(engine: _core.Engine, n_keep: int = -1, max_tokens: int = 500, **options: Any) -> Answer:
    return ask_alone(engine, LONG_QUESTION, ignore_eos=True, max_tokens=max_tokens, n_keep=n_keep, **options)


@pytest.mark.parametrize("n_keep", [0, 1, 10, -1])
def test_the_answer_is_that_of_a_request_for_what_was_kept(n_keep: int) -> None:
    with open_engine(n_ctx=N_CTX, max_num_seqs=1, deterministic=True) as engine:
        prompt = chat(LONG_QUESTION)
        answer = shifted(engine, n_keep)
        assert (answer.reason, len(answer.tokens), answer.usage.completion_tokens) == ("LENGTH", 500, 500)
        context, left, n_shifts, n_gone = prompt, answer.tokens, 0, 0
        while left:
            n = min(N_CTX - len(context), len(left))
            assert ask_alone(engine, context, ignore_eos=True, max_tokens=n).tokens == left[:n]
            context, left = context + left[:n], left[n:]
            if left:
                kept = kept_after_shift(context, len(prompt) if n_keep < 0 else max(n_keep, 1))
                n_shifts, n_gone, context = n_shifts + 1, n_gone + len(context) - len(kept), kept
        assert n_shifts > 1
        assert (answer.usage.context_shifts, answer.usage.shifted_tokens) == (n_shifts, n_gone)


def test_without_it_the_answer_ends_with_the_context() -> None:
    with open_engine(n_ctx=N_CTX) as engine:
        answer = ask_alone(engine, LONG_QUESTION, ignore_eos=True)
        assert answer.reason == "LENGTH"
        assert len(answer.tokens) == N_CTX - len(chat(LONG_QUESTION))
        assert (answer.usage.context_shifts, answer.usage.shifted_tokens) == (0, 0)


def test_the_cache_holds_what_was_computed_last() -> None:
    """A request for the tokens that are there after shifts takes them, and reads the same as without a cache."""
    with open_engine(n_ctx=N_CTX, cache_ram_mib=0) as engine, open_engine(n_ctx=N_CTX, prefix_cache=False) as plain:
        prompt = chat(LONG_QUESTION)
        answer = shifted(engine, max_tokens=N_CTX - len(prompt) + 20)
        assert answer.usage.context_shifts == 1
        whole = prompt + answer.tokens
        there = kept_after_shift(whole[:N_CTX], len(prompt)) + whole[N_CTX:]
        for tokens, n_cached in ((there, len(there) - 1), (whole[: N_CTX - 1], len(prompt))):
            got, expected = (
                ask_alone(one, tokens, max_tokens=1, ignore_eos=True, logprobs=3) for one in (engine, plain)
            )
            assert n_cached <= got.usage.cached_tokens <= n_cached + 1
            assert got.logprobs[0][0] == pytest.approx(expected.logprobs[0][0], abs=0.05)


def test_counts_of_the_whole_answer_go_on() -> None:
    with open_engine(n_ctx=N_CTX) as engine:
        answer = shifted(engine, max_tokens=301, min_tokens=300, logprobs=2)
        assert (answer.reason, len(answer.tokens), len(answer.logprobs)) == ("LENGTH", 301, 301)
        assert all(len(top) == 2 for _, top in answer.logprobs)


def test_scores_of_the_prompt_come_once() -> None:
    with open_engine(n_ctx=N_CTX) as engine:
        answer = shifted(engine, prompt_logprobs=1, max_tokens=400)
        assert answer.usage.context_shifts > 1
        assert len(answer.prompt_logprobs) == len(chat(LONG_QUESTION)) - 1


def test_a_stop_string_is_found_across_a_shift() -> None:
    with open_engine(n_ctx=N_CTX) as engine:
        whole = shifted(engine)
        first = len("".join(whole.pieces[: N_CTX - len(chat(LONG_QUESTION))]))  # where the first shift was
        stop = whole.text[first - 3 : first + 5]
        if whole.text.index(stop) == first - 3:
            answer = shifted(engine, stop=[stop])
            assert (answer.reason, answer.text) == ("STOP", whole.text[: first - 3])


def test_banned_strings_are_taken_back_across_a_shift() -> None:
    """Every place of the answer is held back for a while, the one of the shift too."""
    with open_engine(n_ctx=N_CTX) as engine:
        free = shifted(engine)
        assert free.text.count("1, 2, 3") + free.text.count("4") > 0
        answer = shifted(engine, banned_strings=["4", "1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12"])
        assert answer.usage.context_shifts > 1
        assert len(answer.tokens) == 500
        assert "4" not in answer.text


def test_a_grammar_holds_across_shifts() -> None:
    grammar = compiler().compile("regex", "([a-z]{3}-)*")
    with open_engine(n_ctx=N_CTX) as engine:
        answer = shifted(engine, grammar=grammar)
        assert answer.usage.context_shifts > 1
        assert all(len(word) == 3 and word.isalpha() for word in answer.text.split("-")[:-1])


def test_drafts_change_nothing() -> None:
    drafting: dict[str, Any] = {"adaptive_draft": False, "max_draft": 8}
    with open_engine(n_ctx=N_CTX, **drafting) as engine, open_engine(n_ctx=N_CTX, max_draft=0) as plain:
        fast, slow = shifted(engine, n_keep=1, max_tokens=400), shifted(plain, n_keep=1, max_tokens=400)
        assert fast.usage.accepted_tokens > 0
        assert fast.usage.context_shifts == slow.usage.context_shifts > 1
        assert fast.tokens == slow.tokens


def test_others_are_not_touched() -> None:
    """Three requests that shift, and short ones beside them, in one pool that is too small for all."""
    with open_engine(n_ctx=N_CTX, max_num_seqs=4) as engine:
        driver = Driver(engine)
        long = [driver.ask(LONG_QUESTION, ignore_eos=True, max_tokens=400, n_keep=-1) for _ in range(3)]
        short = [driver.ask(question) for question in QUESTIONS]
        driver.finish()
        assert [answer.text for answer in short] == list(QUESTIONS.values())
        assert [(answer.reason, len(answer.tokens)) for answer in long] == [("LENGTH", 400)] * 3
        assert all(answer.usage.context_shifts > 1 and answer.text.startswith(LONG_ANSWER) for answer in long)


def test_with_one_stream_per_sequence_and_an_adapter() -> None:
    with open_engine(n_ctx=2 * N_CTX, max_num_seqs=2, kv_unified=False, adapters=True) as engine:
        assert engine.n_ctx == N_CTX
        answer = shifted(engine, lora=[("pirate", 1.0)])
        assert (len(answer.tokens), answer.usage.context_shifts > 1) == (500, True)
        assert ask_alone(engine, WHO).text == QUESTIONS[WHO]


def test_a_prompt_must_fit_all_the_same() -> None:
    with open_engine(n_ctx=N_CTX) as engine, pytest.raises(InvalidRequestError, match="256"):
        engine.add_request([5] * N_CTX, GREEDY, n_keep=1)


@pytest.mark.parametrize("n_keep", [-2, N_CTX - 1, 2**40])
def test_n_keep_out_of_range(n_keep: int) -> None:
    with open_engine(n_ctx=N_CTX) as engine, pytest.raises(InvalidRequestError, match=f"n_keep is {n_keep}") as caught:
        engine.add_request(chat(WHO), GREEDY, n_keep=n_keep)
    assert caught.value.param == "n_keep"


def test_the_largest_n_keep_leaves_one_token_to_give() -> None:
    with open_engine(n_ctx=N_CTX) as engine:
        answer = ask_alone(engine, [5] * (N_CTX - 2), ignore_eos=True, max_tokens=9, n_keep=N_CTX - 2)
        assert (answer.reason, len(answer.tokens)) == ("LENGTH", 9)
        assert answer.usage.shifted_tokens == answer.usage.context_shifts > 0


@pytest.mark.parametrize("n_keep", [1, 10, -1])
def test_an_activated_adapter_goes_on_and_leaves_the_cache_clean(tmp_path: Path, n_keep: int) -> None:
    """It applies from its invocation on, which may be among the tokens that go."""
    path = tmp_path / "alora.gguf"
    invocation = tokenizer().encode("<|im_start|>assistant\n", add_special=False)
    write_adapter_copy(demo_adapter_paths()["pirate"], path, adapter__alora__invocation_tokens=invocation)
    with open_engine(n_ctx=N_CTX) as engine, open_engine(n_ctx=N_CTX, prefix_cache=False) as plain:
        for one in (engine, plain):
            one.load_adapter("alora", str(path))
        lora = [("alora", 1.0)]
        answer = shifted(engine, n_keep, lora=lora)
        assert answer.usage.context_shifts > 1
        prompt = chat(LONG_QUESTION)
        kept = kept_after_shift((prompt + answer.tokens)[:N_CTX], len(prompt) if n_keep < 0 else n_keep)
        for tokens in (prompt, kept, kept + prompt[:20]):
            for own in ([], lora):
                got, expected = (
                    ask_alone(one, tokens, max_tokens=1, ignore_eos=True, logprobs=1, lora=own)
                    for one in (engine, plain)
                )
                assert got.logprobs[0][0] == pytest.approx(expected.logprobs[0][0], abs=0.05)
