"""Token limits, finish reasons, usage, and every argument that add_request refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
from engine_fixtures import GREEDY, LONG_QUESTION, QUESTIONS, Driver, ask_alone, chat, open_engine, tokenizer

from shimmy import _core
from shimmy.errors import InvalidRequestError, ModelLoadError, ModelNotFoundError, ShimmyError

WHO = "Who are you?"
N_VOCAB = 4096


def test_an_end_token_stops_and_is_counted_but_not_shown() -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, WHO)
        assert (answer.reason, answer.text) == ("STOP", QUESTIONS[WHO])
        assert answer.last is not None
        assert (answer.last.stop_string, answer.last.stop_token, answer.last.error) == (None, None, "")
        assert answer.usage.completion_tokens == len(answer.tokens) + 1
        assert tokenizer().decode(answer.tokens) == answer.text


def test_ignoring_the_end_token_goes_on() -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, WHO, ignore_eos=True, max_tokens=40)
        assert (answer.reason, len(answer.tokens), answer.usage.completion_tokens) == ("LENGTH", 40, 40)
        assert answer.text.startswith(QUESTIONS[WHO])
        assert tokenizer().eos in answer.tokens


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_max_tokens(n: int) -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, LONG_QUESTION, max_tokens=n)
        assert (answer.reason, len(answer.tokens)) == ("LENGTH", n)
        assert answer.usage.completion_tokens == n
        assert answer.usage.prompt_tokens == len(chat(LONG_QUESTION))
        assert engine.stats.requests_finished == 1
        assert engine.stats.completion_tokens == n
        assert engine.stats.waiting == 0


def test_an_answer_of_exactly_max_tokens() -> None:
    """The end token is the eleventh: with ten the model never gets to say it."""
    with open_engine() as engine:
        assert len(ask_alone(engine, WHO).tokens) == 10
        assert ask_alone(engine, WHO, max_tokens=10).reason == "LENGTH"
        assert ask_alone(engine, WHO, max_tokens=11).reason == "STOP"


def test_no_tokens_wanted_needs_no_sequence() -> None:
    with open_engine(max_num_seqs=1) as engine:
        driver = Driver(engine)
        running, nothing = driver.ask(LONG_QUESTION), driver.ask(WHO, max_tokens=0)
        driver.step()
        assert nothing.reason == "LENGTH"
        assert running.last is None


def test_a_preserved_control_token_is_written_out() -> None:
    with open_engine() as engine:
        eos = tokenizer().eos
        assert eos is not None
        shown = ask_alone(engine, WHO, ignore_eos=True, max_tokens=12, preserved_tokens=[eos])
        hidden = ask_alone(engine, WHO, ignore_eos=True, max_tokens=12)
        assert "<|im_end|>" in shown.text
        assert "<|im_end|>" not in hidden.text


def test_usage_has_durations_and_stats_add_up() -> None:
    with open_engine(max_num_seqs=1) as engine:
        driver = Driver(engine)
        first, second = driver.ask(LONG_QUESTION, max_tokens=50), driver.ask(WHO, max_tokens=5)
        driver.finish()
        for usage in (first.usage, second.usage):
            assert min(usage.queue_seconds, usage.prefill_seconds, usage.decode_seconds) >= 0
        assert first.usage.decode_seconds > 0
        assert second.usage.queue_seconds >= first.usage.decode_seconds
        stats = engine.stats
        assert stats.requests_finished == 2
        assert stats.completion_tokens == 55
        assert stats.prompt_tokens == len(chat(LONG_QUESTION)) + len(chat(WHO))
        assert stats.cached_tokens == first.usage.cached_tokens + second.usage.cached_tokens
        assert stats.steps == 55
        assert stats.step_seconds >= stats.decode_seconds > 0


def test_only_the_last_output_has_an_end_and_usage_grows() -> None:
    with open_engine() as engine:
        request_id = engine.add_request(chat(WHO), GREEDY)
        outputs = []
        while engine.step():
            outputs += engine.wait(0)
        assert {output.id for output in outputs} == {request_id}
        assert [output.finish_reason.name for output in outputs] == ["NONE"] * (len(outputs) - 1) + ["STOP"]
        assert {output.usage.prompt_tokens for output in outputs} == {len(chat(WHO))}
        counts = [output.usage.completion_tokens for output in outputs]
        assert counts == sorted(counts)
        assert counts[-1] == sum(len(output.tokens) for output in outputs) + 1  # and the end token


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no tokens", {"prompt": []}, "prompt"),
    ("4096", {"prompt": [1, N_VOCAB, 1]}, "prompt"),
    ("-1", {"prompt": [-1]}, "prompt"),
    ("max_tokens is -1", {"max_tokens": -1}, "max_tokens"),
    ("logprobs is 21", {"logprobs": 21}, "logprobs"),
    ("logprobs is -1", {"logprobs": -1}, "logprobs"),
    ("4097", {"stop_token_ids": [N_VOCAB + 1]}, "stop_token_ids"),
    ("65 entries", {"stop_token_ids": list(range(65))}, "stop_token_ids"),
    ("65 entries", {"stop": [f"stop {i}" for i in range(65)]}, "stop"),
    ("0 bytes", {"stop": ["fine", ""]}, "stop"),
    ("4097 bytes", {"stop": ["x" * 4097]}, "stop"),
    ("finite", {"lora": [("pirate", math.nan)]}, "lora"),
    ("finite", {"lora": [("pirate", -math.inf)]}, "lora"),
    ("finite", {"lora": [("pirate", 1e300)]}, "lora"),
    ("named twice", {"lora": [("pirate", 1.0), ("terse", 1.0), ("pirate", 0.5)]}, "lora"),
    ("temperature is -1", {"sampling": _core.SamplingParams(temperature=-1.0)}, "temperature"),
    ("top_p is 1.5", {"sampling": _core.SamplingParams(top_p=1.5)}, "top_p"),
    ("nan", {"sampling": _core.SamplingParams(min_p=math.nan)}, "min_p"),
    ("4096", {"sampling": _core.SamplingParams(logit_bias={N_VOCAB: 1.0})}, "logit_bias"),
    ("'heat'", {"sampling": _core.SamplingParams(samplers=["heat"])}, "samplers"),
]


def test_invalid_arguments_are_refused_by_name_and_leave_the_engine_working() -> None:
    with open_engine(adapters=True) as engine:
        driver = Driver(engine)
        running = driver.ask(WHO)
        driver.step(2)
        for message, arguments, param in REFUSED:
            with pytest.raises(InvalidRequestError) as caught:
                engine.add_request(**{"prompt": chat(WHO), **arguments})
            assert (caught.value.param, message in str(caught.value)) == (param, True), (arguments, str(caught.value))
        assert engine.stats.waiting == 0
        driver.finish()
        assert running.text == ask_alone(engine, WHO).text == QUESTIONS[WHO]
        assert engine.death == ""


def test_an_unknown_adapter_is_refused_with_those_there_are() -> None:
    with open_engine() as engine:
        with pytest.raises(ModelNotFoundError, match="no adapter 'viking' is loaded; there are none"):
            engine.add_request(chat(WHO), GREEDY, lora=[("viking", 1.0)])
        with pytest.raises(ModelNotFoundError, match="viking"):
            engine.unload_adapter("viking")
    with open_engine(adapters=True) as engine:
        with pytest.raises(ModelNotFoundError, match="pirate, terse"):
            engine.add_request(chat(WHO), GREEDY, lora=[("pirate", 1.0), ("viking", 1.0)])
        assert ask_alone(engine, WHO).text == QUESTIONS[WHO]


def test_an_adapter_file_that_is_none_is_refused() -> None:
    from shimmy import demo_model_path

    with open_engine() as engine:
        with pytest.raises(ModelLoadError, match="no LoRA adapter"):
            engine.load_adapter("model", str(demo_model_path()))
        with pytest.raises(ShimmyError):
            engine.load_adapter("nothing", "no-such-file.gguf")
        assert engine.adapters == []


def test_the_largest_finite_scale_fails_at_most_its_own_request() -> None:
    with open_engine(adapters=True) as engine:
        driver = Driver(engine)
        strange = driver.ask(WHO, lora=[("pirate", 3e38)], max_tokens=4)
        fine = driver.ask(WHO)
        driver.finish()
        assert strange.reason in ("FAILED", "LENGTH", "STOP")
        assert fine.text == QUESTIONS[WHO]
        assert engine.death == ""


def test_nothing_to_choose_from_fails_one_request_only() -> None:
    nothing = _core.SamplingParams(temperature=1.0, logit_bias=dict.fromkeys(range(N_VOCAB), -math.inf))
    with open_engine() as engine:
        driver = Driver(engine)
        fine, failed = driver.ask(WHO), driver.ask(WHO, nothing)
        driver.finish()
        assert failed.reason == "FAILED"
        assert failed.last is not None
        assert failed.last.error
        assert fine.text == QUESTIONS[WHO]
        assert engine.death == ""
        assert ask_alone(engine, WHO).reason == "STOP"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_num_seqs", 257),
        ("max_waiting", 0),
        ("prefill_budget", 31),
        ("prefill_budget", 65537),
        ("prefill_seconds", -1.0),
    ],
)
def test_engine_parameters_out_of_range(field: str, value: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"{field} is {value}") as caught, open_engine(**{field: value}):
        pass
    assert caught.value.param == field


def test_stepping_by_hand_is_refused_after_start() -> None:
    with open_engine(start=True) as engine:
        with pytest.raises(InvalidRequestError, match="steps by itself"):
            engine.step()
        engine.start()  # twice is once
        driver = Driver(engine)
        answer = driver.ask(WHO)
        driver.wait()
        assert answer.text == QUESTIONS[WHO]
