"""Speculation changes no answer: with drafts of every source, wherever a draft is cut."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from arithmetic import same_in_every_batch
from engine_fixtures import (
    GREEDY,
    LONG_ANSWER,
    LONG_QUESTION,
    QUESTIONS,
    Answer,
    Driver,
    chat,
    demo_model,
    open_engine,
    tokenizer,
)
from grammar_walk import compiler

from shimmy import _core, demo_draft_path
from shimmy.errors import InvalidRequestError

SEA = "Write a poem about the sea."


def open_draft_engine(**params: Any) -> _core.Engine:
    context = _core.ContextParams(n_ctx=2048, n_batch=512, n_threads=1)
    draft = _core.Model(str(demo_draft_path()))
    engine = _core.Engine(demo_model(), context, _core.EngineParams(adaptive_draft=False, **params), draft)
    engine.start()
    return engine


@pytest.fixture(scope="module", params=["lookup", "draft model"])
def engine(request: pytest.FixtureRequest) -> Iterator[_core.Engine]:
    if request.param == "lookup":
        with open_engine(start=True, adaptive_draft=False) as opened:
            yield opened
        return
    opened = open_draft_engine()
    yield opened
    opened.shutdown()


def ask(
    engine: _core.Engine, prompt: str | list[int], sampling: _core.SamplingParams = GREEDY, **options: Any
) -> Answer:
    driver = Driver(engine)
    answer = driver.ask(prompt, sampling, **options)
    driver.wait()
    return answer


def told(answer: Answer) -> tuple[Any, ...]:
    assert answer.last is not None
    usage = answer.usage
    assert 0 <= usage.accepted_tokens <= usage.drafted_tokens
    return answer.text, answer.tokens, answer.reason, answer.last.stop_string, usage.completion_tokens


def both(engine: _core.Engine, *args: Any, **options: Any) -> Answer:
    """The answer with drafts, after a look that it is the one without."""
    plain = ask(engine, *args, speculation=False, **options)
    assert plain.usage.drafted_tokens == 0
    drafted = ask(engine, *args, **options)
    assert told(drafted) == told(plain)
    return drafted


def test_greedy_answers(engine: _core.Engine) -> None:
    for question, text in QUESTIONS.items():
        assert both(engine, question).text == text


def test_repetitive_prompts(engine: _core.Engine) -> None:
    prompt = chat("Count to 20.", *[("Count to 20.", QUESTIONS["Count to 20."])] * 4)
    answers = [both(engine, prompt) for _ in range(2)] + [both(engine, LONG_QUESTION) for _ in range(2)]
    assert [answer.text for answer in answers[2:]] == [LONG_ANSWER] * 2
    assert sum(answer.usage.accepted_tokens for answer in answers) > 0


def test_beside_others(engine: _core.Engine) -> None:
    driver = Driver(engine)
    answers = [driver.ask(question) for question in QUESTIONS]
    driver.wait()
    assert [answer.text for answer in answers] == list(QUESTIONS.values())


def mostly_agree(engine: _core.Engine, prompt: str, n_seeds: int, options: dict[str, Any], **sampling: Any) -> None:
    """Sampled answers are the same with drafts, but for the few draws so near to the edge between two tokens that the
    noise of other batch shapes moves them across it. Another draw would change nearly all of them.
    """
    n_same = 0
    for seed in range(n_seeds):
        chosen = _core.SamplingParams(seed=seed, **sampling)
        owner = {"tenant": str(uuid.uuid4())}  # both on the same cached cells
        plain = ask(engine, prompt, chosen, speculation=False, **owner, **options)
        n_same += told(ask(engine, prompt, chosen, **owner, **options)) == told(plain)
    assert n_same >= n_seeds / 2


def test_seeded_sampling(engine: _core.Engine) -> None:
    mostly_agree(engine, "Once upon a time", 12, {"max_tokens": 24}, temperature=0.8)
    mostly_agree(engine, SEA, 12, {"max_tokens": 40}, temperature=0.6, top_k=20, min_p=0.05)


def test_penalties_that_look_back_on_drafts(engine: _core.Engine) -> None:
    sampling = _core.SamplingParams(temperature=0.0, repeat_penalty=1.1, frequency_penalty=0.2, dry_multiplier=0.4)
    for question in (LONG_QUESTION, SEA):
        both(engine, question, sampling, max_tokens=60)


def test_logprobs_of_drafted_tokens(engine: _core.Engine) -> None:
    plain = ask(engine, LONG_QUESTION, GREEDY, logprobs=1, speculation=False)
    drafted = ask(engine, LONG_QUESTION, GREEDY, logprobs=1)
    assert [one[0] for one in drafted.logprobs] == pytest.approx([one[0] for one in plain.logprobs], abs=0.05)


@pytest.mark.parametrize("stop", [" 17", "17, 1", ", 30, 31", "0"])
def test_stop_strings_inside_of_drafts(engine: _core.Engine, stop: str) -> None:
    ask(engine, LONG_QUESTION)
    answer = both(engine, LONG_QUESTION, GREEDY, stop=[stop], logprobs=0)
    assert answer.text == LONG_ANSWER[: LONG_ANSWER.index(stop)]
    assert len(answer.tokens) == len(answer.logprobs) == answer.usage.completion_tokens


def test_stop_tokens_inside_of_drafts(engine: _core.Engine) -> None:
    ask(engine, LONG_QUESTION)
    for token in set(tokenizer().encode(", 31, 42", add_special=False)):
        both(engine, LONG_QUESTION, GREEDY, stop_token_ids=[token])


def test_max_tokens_inside_of_drafts(engine: _core.Engine) -> None:
    ask(engine, LONG_QUESTION)
    for n in (1, 2, 3, 4, 5, 9, 17, 33, 34, 35):
        answer = both(engine, LONG_QUESTION, GREEDY, max_tokens=n)
        assert (len(answer.tokens), answer.reason) == (n, "LENGTH")


def test_goes_on_after_a_drafted_answer_from_the_cache(engine: _core.Engine) -> None:
    first = ask(engine, LONG_QUESTION, GREEDY, max_tokens=50)
    second = both(engine, chat(LONG_QUESTION) + first.tokens)
    assert first.text + second.text == LONG_ANSWER
    assert second.usage.cached_tokens >= len(chat(LONG_QUESTION)) + 49 - 1


@same_in_every_batch
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("regex", r'\{"first": "[a-z]{1,8}", "second": "[a-z]{1,8}", "third": [0-9]{1,3}\}'),
        ("json_schema", '{"type":"array","items":{"enum":["red","green","blue"]},"minItems":6,"maxItems":9}'),
    ],
)
def test_grammars(engine: _core.Engine, kind: str, text: str) -> None:
    options: dict[str, Any] = {"grammar": compiler().compile(kind, text, any_whitespace=False), "max_tokens": 80}
    for logprobs in (None, 1):
        for _ in range(2):
            answer = both(engine, "Give me data.", GREEDY, logprobs=logprobs, **options)
            assert answer.usage.completion_tokens >= len(answer.tokens)
            assert len(answer.logprobs) == (len(answer.tokens) if logprobs else 0)
        mostly_agree(engine, "Give me data.", 16, {"logprobs": logprobs, **options}, temperature=0.5)


@pytest.mark.parametrize("source", ["lookup", "draft model"])
def test_a_cache_that_is_nearly_full(source: str) -> None:
    n_ctx = 512
    draft = _core.Model(str(demo_draft_path())) if source == "draft model" else None
    context = _core.ContextParams(n_ctx=n_ctx, n_batch=128, n_threads=1)
    engine = _core.Engine(demo_model(), context, _core.EngineParams(adaptive_draft=False), draft)
    engine.start()
    try:
        answer = ask(engine, LONG_QUESTION, GREEDY, ignore_eos=True)  # to the end of its context
        assert answer.reason == "LENGTH"
        assert answer.text.startswith(LONG_ANSWER)
        assert answer.usage.prompt_tokens + answer.usage.completion_tokens == n_ctx
        driver = Driver(engine)
        answers = [driver.ask(LONG_QUESTION) for _ in range(5)]  # more than fits at once
        driver.wait()
        assert [one.text for one in answers] == [LONG_ANSWER] * 5
    finally:
        engine.shutdown()


def test_off_for_a_request_and_for_an_engine() -> None:
    with open_engine(start=True, max_draft=0) as engine:
        for _ in range(3):
            assert ask(engine, LONG_QUESTION).usage.drafted_tokens == 0
        assert engine.stats.drafted_tokens == 0
    with open_engine(start=True, adaptive_draft=False) as engine:
        for _ in range(3):
            assert ask(engine, LONG_QUESTION, GREEDY, speculation=False).usage.drafted_tokens == 0
        assert engine.stats.drafted_tokens == 0
        answers = [ask(engine, LONG_QUESTION) for _ in range(4)]
        assert engine.stats.drafted_tokens == sum(one.usage.drafted_tokens for one in answers) > 0
        assert engine.stats.accepted_tokens == sum(one.usage.accepted_tokens for one in answers) > 0


def test_adaptive_drafts_change_no_answer() -> None:
    with open_engine(start=True) as engine:
        for _ in range(4):
            assert ask(engine, LONG_QUESTION).text == LONG_ANSWER


def test_cancelled_in_the_middle() -> None:
    with open_engine(start=True, adaptive_draft=False) as engine:
        ask(engine, LONG_QUESTION)
        for _ in range(5):
            driver = Driver(engine)
            answer = driver.ask(LONG_QUESTION)
            driver.take(0.5)
            driver.cancel(answer)
            driver.wait()
            assert LONG_ANSWER.startswith(answer.text)
        assert ask(engine, LONG_QUESTION).text == LONG_ANSWER


def test_a_draft_model_of_another_vocabulary(tiny_models: Any) -> None:
    path: Path = tiny_models("f16", 1)
    context = _core.ContextParams(n_ctx=256, n_threads=1)
    with pytest.raises(InvalidRequestError, match="vocabulary") as caught:
        _core.Engine(demo_model(), context, _core.EngineParams(), _core.Model(str(path)))
    assert str(path) in str(caught.value)
    assert caught.value.param == "draft_model"
