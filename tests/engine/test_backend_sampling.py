"""Tokens chosen where the logits are computed: the same answers, beside requests that need the logits themselves.

On a CPU it gains nothing; here it shows what is asked of the backend and what is done with what comes back.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

import pytest
from arithmetic import DRAWS, ON_GPU
from engine_fixtures import QUESTIONS, Answer, Driver, ask_alone, chat, long_chat, open_engine
from grammar_walk import compiler

from shimmy import _core, demo_adapter_paths, demo_draft_path, demo_model_path
from shimmy.errors import InvalidRequestError

SEEDED = _core.SamplingParams(temperature=1.5, top_p=0.95, seed=11)
COUNT = "Count to 20."
SKY = "What color is the sky?"

both_caches = pytest.mark.parametrize("kv_unified", [True, False], ids=["unified", "split"])


def backend_rows(engine: _core.Engine) -> int:
    return engine.stats.backend_rows


@both_caches
def test_answers_are_those_of_the_host(kv_unified: bool) -> None:
    with open_engine(backend_sampling="on", kv_unified=kv_unified, n_ctx=2048, max_num_seqs=8) as engine:
        driver = Driver(engine)
        answers = {question: driver.ask(question) for question in QUESTIONS}
        driver.finish()
        assert {question: answer.text for question, answer in answers.items()} == QUESTIONS
        assert backend_rows(engine) > 0


def test_alone_every_token_is_found_by_the_backend() -> None:
    with open_engine(backend_sampling="on", max_draft=0) as engine:
        assert ask_alone(engine, COUNT).text == QUESTIONS[COUNT]
        stats = engine.stats
        assert stats.backend_rows == stats.completion_tokens + 1  # the end


draws = pytest.mark.skipif(not DRAWS, reason="this backend finds the likeliest tokens, and draws none")


def plain(seed: int) -> _core.SamplingParams:
    """What a temperature alone decides."""
    return _core.SamplingParams(temperature=(0.05, 0.7, 1.0, 3.0)[seed % 4], seed=seed)


@draws
@both_caches
def test_a_temperature_draws_what_the_host_draws(kv_unified: bool) -> None:
    def answers(mode: str) -> tuple[list[list[int]], int, int]:
        with open_engine(backend_sampling=mode, kv_unified=kv_unified, n_ctx=4096, max_num_seqs=8) as engine:
            driver = Driver(engine)
            made = [driver.ask(SKY if seed % 3 else COUNT, plain(seed), max_tokens=24) for seed in range(48)]
            driver.finish()
            return [answer.tokens for answer in made], backend_rows(engine), engine.stats.completion_tokens

    (drawn, n_rows, n_tokens), (hosts, n_none, _) = answers("on"), answers("off")
    # A share within the rounding of a boundary between two tokens, or another step's logits, may go another way.
    assert sum(ours == theirs for ours, theirs in zip(drawn, hosts, strict=True)) >= 44
    assert n_rows >= n_tokens
    assert n_none == 0


@draws
def test_draws_follow_the_distribution() -> None:
    question, n = "Who are you?", 3000
    with open_engine(backend_sampling="on", n_ctx=4096, max_num_seqs=8, max_draft=0) as engine:
        likeliest = ask_alone(engine, question, max_tokens=1, logprobs=5).logprobs[0][1]
        driver = Driver(engine)
        counts: Counter[int] = Counter()
        for first in range(0, n, 500):
            sampling = [_core.SamplingParams(temperature=2.0, seed=seed) for seed in range(first, first + 500)]
            answers = [driver.ask(question, one, max_tokens=1, ignore_eos=True) for one in sampling]
            driver.finish()
            counts.update(answer.tokens[0] for answer in answers)
        assert backend_rows(engine) >= n
    # Probabilities at temperature 2 relative to the likeliest are the square roots of those at 1.
    first_token, first_logprob = likeliest[0]
    for token, logprob in likeliest[1:]:
        expected = counts[first_token] * math.exp((logprob - first_logprob) / 2)
        assert abs(counts[token] - expected) < 6 * math.sqrt(expected + 1) + 3


def test_drafts_of_drawn_answers_are_checked() -> None:
    def tokens(mode: str) -> list[int]:
        with open_engine(backend_sampling=mode, adaptive_draft=False, n_ctx=2048) as engine:
            sampling = _core.SamplingParams(temperature=0.2, seed=5)
            answer = ask_alone(engine, COUNT, sampling, max_tokens=60)
            assert engine.stats.drafted_tokens > 0
            return answer.tokens

    assert tokens("on") == tokens("off")


@pytest.mark.parametrize(
    "mode", [pytest.param("auto", marks=pytest.mark.skipif(ON_GPU, reason="here the output layer is on a GPU")), "off"]
)
def test_a_cpu_is_left_alone(mode: str) -> None:
    with open_engine(backend_sampling=mode) as engine:
        assert ask_alone(engine, SKY).text == QUESTIONS[SKY]
        assert backend_rows(engine) == 0


def test_other_words_are_refused() -> None:
    words = "backend_sampling is 'gpu', it must be one of auto, on, off"
    with pytest.raises(InvalidRequestError, match=words), open_engine(backend_sampling="gpu"):
        pass


NEEDS_LOGITS: dict[str, dict[str, Any]] = {
    "logprobs": {"logprobs": 2},
    "prompt_logprobs": {"prompt_logprobs": 1},
    "bias": {"sampling": _core.SamplingParams(temperature=0, logit_bias={5: -100.0})},
    "penalty": {"sampling": _core.SamplingParams(temperature=0, repeat_penalty=1.05)},
    "seed": {"sampling": SEEDED, "max_tokens": 12},
    "banned": {"banned_strings": ["blue"], "max_tokens": 12},
    "min_tokens": {"min_tokens": 12, "max_tokens": 16},
    "healing": {"token_healing": True, "max_tokens": 8},
}


@both_caches
@pytest.mark.parametrize("options", NEEDS_LOGITS.values(), ids=NEEDS_LOGITS.keys())
def test_beside_requests_that_need_logits(options: dict[str, Any], kv_unified: bool) -> None:
    def answers(mode: str) -> list[Answer]:
        with open_engine(backend_sampling=mode, kv_unified=kv_unified, n_ctx=2048, max_num_seqs=8) as engine:
            driver = Driver(engine)
            made = [driver.ask(COUNT), driver.ask(SKY, **options), driver.ask("76 + 675"), driver.ask(SKY)]
            driver.finish()
            assert (backend_rows(engine) > 0) == (mode == "on")
            return made

    for ours, hosts in zip(answers("on"), answers("off"), strict=True):
        assert (ours.text, ours.tokens, ours.reason) == (hosts.text, hosts.tokens, hosts.reason)
        assert [logprob for logprob, _ in ours.logprobs] == pytest.approx(
            [logprob for logprob, _ in hosts.logprobs], abs=1e-3
        )
        assert len(ours.prompt_logprobs) == len(hosts.prompt_logprobs)


def test_beside_a_grammar() -> None:
    grammar = compiler().compile("regex", "[0-9]{3}(ab|cd)+")
    with open_engine(backend_sampling="on", max_draft=0) as engine:
        driver = Driver(engine)
        free, bound = driver.ask(COUNT), driver.ask(SKY, grammar=grammar, max_tokens=20)
        driver.finish()
        assert free.text == QUESTIONS[COUNT]
        assert bound.text[:3].isdigit()
        assert 0 < backend_rows(engine) < engine.stats.completion_tokens


def test_a_slot_changes_hands() -> None:
    """The same prompt, one token of which is computed again: a step of the same shape as the decoding before it."""
    with open_engine(backend_sampling="on", max_num_seqs=1, max_draft=0) as engine:
        for _ in range(3):
            assert ask_alone(engine, SKY).text == QUESTIONS[SKY]
            scored = ask_alone(engine, SKY, logprobs=1)
            assert scored.text == QUESTIONS[SKY]
            assert [top[0][0] for _, top in scored.logprobs] == scored.tokens


@pytest.mark.parametrize("n_ubatch", [16, 512])
def test_prompts_of_several_micro_batches_beside_decoding(n_ubatch: int) -> None:
    with open_engine(backend_sampling="on", n_ctx=4096, n_ubatch=n_ubatch, max_num_seqs=4) as engine:
        driver = Driver(engine)
        first, seeded = driver.ask(COUNT), driver.ask(SKY, SEEDED, max_tokens=8)
        driver.step(3)
        late = driver.ask(long_chat(SKY, 400))
        driver.finish()
        assert (first.text, late.text) == (QUESTIONS[COUNT], QUESTIONS[SKY])
        alone = ask_alone(engine, SKY, SEEDED, max_tokens=8)
        assert alone.text == seeded.text


@pytest.mark.parametrize("draft", [False, True], ids=["n-gram", "model"])
def test_drafts_are_checked(draft: bool) -> None:
    model = _core.Model(str(demo_draft_path())) if draft else None
    params = _core.EngineParams(backend_sampling="on", adaptive_draft=False, max_num_seqs=4)
    context = _core.ContextParams(n_ctx=2048, n_threads=1)
    engine = _core.Engine(_core.Model(str(demo_model_path())), context, params, model)
    try:
        driver = Driver(engine)
        answers = {question: driver.ask(question) for question in (COUNT, SKY, "List the days of the week.")}
        driver.ask(COUNT, SEEDED, max_tokens=20)
        driver.finish()
        assert {question: answer.text for question, answer in answers.items()} == {q: QUESTIONS[q] for q in answers}
        assert engine.stats.drafted_tokens > 0
        assert backend_rows(engine) > 0
    finally:
        engine.shutdown()


def test_forks_and_preemption() -> None:
    with open_engine(backend_sampling="on", n_ctx=256, max_num_seqs=6, max_draft=0, cache_ram_mib=0) as engine:
        driver = Driver(engine)
        answers = [driver.ask(chat(COUNT)) for _ in range(6)]
        driver.finish()
        assert {answer.text for answer in answers} == {QUESTIONS[COUNT]}
        stats = engine.stats
        assert stats.forks > 0
        assert stats.preemptions > 0


def test_adapter_sets_take_turns() -> None:
    def texts(mode: str) -> list[str]:
        with open_engine(backend_sampling=mode, adapters=True) as engine:
            driver = Driver(engine)
            names = [None, *demo_adapter_paths()]
            answers = [driver.ask(SKY, lora=[(name, 1.0)] if name else []) for name in names]
            driver.finish()
            return [answer.text for answer in answers]

    assert texts("on") == texts("off")


def test_cancelled_ones_leave_the_others_alone() -> None:
    with open_engine(backend_sampling="on", start=True, max_num_seqs=4) as engine:
        driver = Driver(engine)
        kept = driver.ask(COUNT)
        for _ in range(4):
            gone = driver.ask(COUNT)
            time.sleep(0.01)
            driver.cancel(gone)
        driver.wait()
        assert kept.text == QUESTIONS[COUNT]


def test_deterministic_answers() -> None:
    with open_engine(backend_sampling="on", deterministic=True, n_ctx=2048, max_num_seqs=4) as engine:
        alone = ask_alone(engine, COUNT)
        driver = Driver(engine)
        answers = [driver.ask(COUNT), driver.ask(SKY, SEEDED, max_tokens=6), driver.ask("76 + 675")]
        driver.finish()
        assert answers[0].tokens == alone.tokens
        assert answers[2].text == QUESTIONS["76 + 675"]
