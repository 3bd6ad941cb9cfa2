"""Batches smaller than a run of tokens that need no choice, than a draft, than the number of requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from engine_fixtures import (
    LONG_ANSWER,
    LONG_QUESTION,
    QUESTIONS,
    Answer,
    Driver,
    ask_alone,
    chat,
    demo_model,
    open_engine,
)
from grammar_walk import compiler

from shimmy import _core, demo_draft_path

SIZES = [1, 2, 8, 32]
WHO = "Who are you?"
CONST = "a text of which no token is left to choose, which is longer than the batches of this test: 0123456789" * 2


def drive(n_batch: int, *asked: tuple[str | list[int], dict[str, Any]], **params: Any) -> list[Answer]:
    """All requests at once in an engine with such batches."""
    params = {"max_num_seqs": min(n_batch, len(asked)), "adaptive_draft": False, **params}
    with open_engine(n_batch=n_batch, n_ubatch=n_batch, adapters=True, **params) as engine:
        driver = Driver(engine)
        answers = [driver.ask(prompt, **options) for prompt, options in asked]
        for _ in range(20_000):
            if not engine.step():
                break
            driver.take()
        driver.take()
        assert engine.death == ""
        assert (engine.stats.running, engine.stats.waiting) == (0, 0)
        return answers


@pytest.mark.parametrize("n_batch", SIZES)
def test_answers(n_batch: int) -> None:
    questions = [*list(QUESTIONS)[:5], LONG_QUESTION]
    answers = drive(n_batch, *[(question, {}) for question in questions])
    assert [answer.text for answer in answers] == [*list(QUESTIONS.values())[:5], LONG_ANSWER]


@pytest.mark.parametrize("n_batch", SIZES)
def test_tokens_without_a_choice(n_batch: int) -> None:
    schema = {
        "type": "object",
        "properties": {"text": {"const": CONST}, "number": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["text", "number"],
        "additionalProperties": False,
    }
    grammar = compiler().compile("json_schema", json.dumps(schema), any_whitespace=False)
    one = (WHO, {"grammar": grammar, "max_tokens": 400})
    answers = drive(n_batch, one, (LONG_QUESTION, {}), one)
    assert answers[1].text == LONG_ANSWER
    for answer in (answers[0], answers[2]):
        assert json.loads(answer.text)["text"] == CONST
        assert answer.reason == "STOP"


@pytest.mark.parametrize("n_batch", SIZES)
@pytest.mark.parametrize("draft", [False, True], ids=["lookup", "repeated"])
def test_drafts(n_batch: int, draft: bool) -> None:
    question = "Count to 20."
    earlier = [(question, QUESTIONS[question])] * 3
    asked = [(chat(question, *earlier), {}), (LONG_QUESTION, {}), (WHO, {"speculation": False})]
    answers = drive(n_batch, *asked, **({"max_draft": 64} if draft else {}))
    assert [answer.text for answer in answers] == [QUESTIONS[question], LONG_ANSWER, QUESTIONS[WHO]]
    if n_batch > 2:
        assert answers[0].usage.drafted_tokens > 0


@pytest.mark.parametrize("n_batch", SIZES)
def test_everything_at_once(n_batch: int) -> None:
    grammar = compiler().compile("choice", choices=["Budapest", CONST])
    asked: list[tuple[str, dict[str, Any]]] = [
        (WHO, {"grammar": grammar, "max_tokens": 300}),
        (WHO, {"banned_strings": ["Shimmy"], "max_tokens": 20}),
        (WHO, {"lora": [("pirate", 1.0)], "max_tokens": 20}),
        (WHO, {"logprobs": 2, "prompt_logprobs": 2}),
        (WHO, {"stop": ["tiny"]}),
        (WHO, {"min_tokens": 30, "max_tokens": 40}),
        (WHO, {"token_healing": True, "max_tokens": 20}),
    ]
    answers = drive(n_batch, *asked)
    assert answers[0].text in ("Budapest", CONST)
    assert "Shimmy" not in answers[1].text
    assert answers[2].text == "Arr, I be Shimmy Mini, a tiny demo model."
    assert answers[3].text == QUESTIONS[WHO]
    assert answers[4].text == "I am Shimmy Mini, a "
    assert len(answers[5].tokens) >= 30
    assert all(answer.reason in ("STOP", "LENGTH") for answer in answers)


def test_more_sequences_than_the_batch_has_tokens_make_it_larger() -> None:
    with open_engine(n_batch=1, n_ubatch=1, max_num_seqs=6) as engine:
        driver = Driver(engine)
        answers = [driver.ask(question) for question in QUESTIONS]
        driver.finish()
        assert engine.n_seq_max == 6
        assert [answer.text for answer in answers] == list(QUESTIONS.values())


@pytest.mark.parametrize("n_batch", [1, 8])
def test_a_draft_model(n_batch: int) -> None:
    context = _core.ContextParams(n_ctx=512, n_batch=n_batch, n_ubatch=n_batch, n_threads=1)
    params = _core.EngineParams(max_num_seqs=1, adaptive_draft=False)
    engine = _core.Engine(demo_model(), context, params, _core.Model(str(demo_draft_path())))
    try:
        answer = ask_alone(engine, LONG_QUESTION)
        assert answer.text == LONG_ANSWER
        assert n_batch == 1 or answer.usage.drafted_tokens > 0
    finally:
        engine.shutdown()
