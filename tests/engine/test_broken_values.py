"""Values that are no numbers: of one request's tokens, or of one adapter. Only what asked for them fails.

The model here gives NaN for every sequence that has read BAD; all else is the demo model's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np
import pytest
from arithmetic import HIDES_NAN
from engine_fixtures import LONG_ANSWER, LONG_QUESTION, QUESTIONS, Answer, Driver, ask_alone, long_chat, open_engine
from lora_files import copy_metadata, finish, write_float_copy
from numpy.typing import NDArray

from shimmy import _core, demo_adapter_paths, demo_model_path

WHO = "Who are you?"
SKY = "What color is the sky?"
BAD = 2000
SAYS = "the weights or the KV cache are broken"

both_caches = pytest.mark.parametrize("kv_unified", [True, False], ids=["unified", "split"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> _core.Model:
    if HIDES_NAN:
        pytest.skip("this GPU makes numbers of NaN")

    def without_bad(name: str, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        if name == "token_embd.weight":
            weights = weights.copy()
            weights[BAD] = np.nan
        return weights

    path = tmp_path_factory.mktemp("broken") / "bad.gguf"
    return _core.Model(str(write_float_copy(demo_model_path(), path, without_bad)))


@pytest.fixture(scope="module")
def nan_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapters") / "nan.gguf"
    reader = gguf.GGUFReader(demo_adapter_paths()["pirate"])
    writer = gguf.GGUFWriter(path, "llama")
    copy_metadata(reader, writer)
    for tensor in reader.tensors:
        weights = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, weights * np.float32("nan"))
    finish(writer)
    return path


@contextmanager
def opened(model: _core.Model, *, kv_unified: bool, n_batch: int = 512, **context: object) -> Iterator[_core.Engine]:
    params = _core.ContextParams(
        n_ctx=1024 if kv_unified else 2048,
        n_batch=n_batch,
        n_ubatch=n_batch,
        n_threads=1,
        kv_unified=kv_unified,
        **context,  # type: ignore[arg-type]
    )
    engine = _core.Engine(model, params, _core.EngineParams(max_num_seqs=4, cache_ram_mib=64))
    try:
        yield engine
    finally:
        engine.shutdown()


def bad_prompt(n_tokens: int) -> list[int]:
    prompt = long_chat(WHO, n_tokens)
    return [*prompt[:-20], BAD, *prompt[-20:]]


def failed(answer: Answer) -> bool:
    assert answer.last is not None
    return answer.reason == "FAILED" and SAYS in answer.last.error and not answer.tokens


@both_caches
@pytest.mark.parametrize("flash_attn", ["on", "off"])
@pytest.mark.parametrize("n_batch", [16, 512])
def test_only_the_request_at_fault_fails(model: _core.Model, kv_unified: bool, flash_attn: str, n_batch: int) -> None:
    """Beside others in its very steps: its prompt takes one of them, or many."""
    with opened(model, kv_unified=kv_unified, flash_attn=flash_attn, n_batch=n_batch) as engine:
        driver = Driver(engine)
        running = [driver.ask(LONG_QUESTION, logprobs=1), driver.ask(WHO)]
        driver.step(3)
        bad = driver.ask(bad_prompt(100))
        beside = driver.ask("76 + 675")
        driver.finish()
        assert failed(bad)
        assert [answer.text for answer in running] == [LONG_ANSWER, QUESTIONS[WHO]]
        assert beside.text == QUESTIONS["76 + 675"]
        assert len(running[0].logprobs) == len(running[0].tokens)
        assert engine.death == ""


@both_caches
def test_the_cells_that_it_left_harm_nobody(model: _core.Model, kv_unified: bool) -> None:
    with opened(model, kv_unified=kv_unified, flash_attn="off") as engine:
        ask_alone(engine, SKY)
        assert failed(ask_alone(engine, bad_prompt(150)))
        assert engine.stats.kv_cells_used == 0
        long = long_chat(SKY, 150)
        for _ in range(2):
            assert ask_alone(engine, SKY).text == QUESTIONS[SKY]
            assert ask_alone(engine, long).text == QUESTIONS[SKY]
        assert ask_alone(engine, long).usage.cached_tokens == len(long) - 1


def test_several_at_fault_fail_and_the_others_answer(model: _core.Model) -> None:
    with opened(model, kv_unified=True) as engine:
        driver = Driver(engine)
        bad = [driver.ask(bad_prompt(50), max_tokens=3) for _ in range(6)]
        good = [driver.ask(question) for question in QUESTIONS]
        driver.finish()
        assert all(failed(answer) for answer in bad)
        assert [answer.text for answer in good] == list(QUESTIONS.values())
        assert (engine.stats.running, engine.stats.waiting) == (0, 0)


def test_a_prefix_that_was_computed_beside_it_is_right_at_last(model: _core.Model) -> None:
    """The one at fault is cancelled before its end shows it, and so are those whose cells it spoiled."""
    with opened(model, kv_unified=True, n_batch=64, flash_attn="off") as engine:
        driver = Driver(engine)
        spoilt = [driver.ask([BAD, *long_chat(WHO, 400)]), driver.ask(long_chat(SKY, 400))]
        driver.step(4)
        for answer in spoilt:
            driver.cancel(answer)
        driver.finish()
        assert ask_alone(engine, long_chat(SKY, 400)).text == QUESTIONS[SKY]
        assert ask_alone(engine, SKY).text == QUESTIONS[SKY]


def test_log_probabilities_of_prompts_are_those_of_numbers(model: _core.Model) -> None:
    prompt = long_chat(SKY, 100)
    with opened(model, kv_unified=True, n_batch=64, flash_attn="off") as engine:
        alone = ask_alone(engine, prompt, prompt_logprobs=0)
        driver = Driver(engine)
        bad = driver.ask(bad_prompt(60), prompt_logprobs=1)
        beside = driver.ask(prompt, prompt_logprobs=0)
        driver.finish()
        assert failed(bad)
        assert beside.text == alone.text == QUESTIONS[SKY]
        assert len(beside.prompt_logprobs) == len(prompt) - 1
        wanted = [logprob for logprob, _ in alone.prompt_logprobs]
        assert [logprob for logprob, _ in beside.prompt_logprobs] == pytest.approx(wanted, abs=0.5)


def test_a_started_engine(model: _core.Model) -> None:
    with opened(model, kv_unified=True) as engine:
        engine.start()
        driver = Driver(engine)
        answers = [driver.ask(LONG_QUESTION), driver.ask(bad_prompt(60)), driver.ask(WHO), driver.ask(bad_prompt(30))]
        driver.wait()
        assert [answer.text for answer in answers[::2]] == [LONG_ANSWER, QUESTIONS[WHO]]
        assert failed(answers[1])
        assert failed(answers[3])


@both_caches
def test_an_adapter_whose_weights_are_nan(nan_adapter: Path, kv_unified: bool) -> None:
    with open_engine(n_ctx=2048, kv_unified=kv_unified, max_num_seqs=4, adapters=True) as engine:
        engine.load_adapter("nan", str(nan_adapter))
        driver = Driver(engine)
        plain, pirate = driver.ask(LONG_QUESTION), driver.ask(WHO, lora=[("pirate", 1.0)])
        driver.step(4)
        bad = [driver.ask(WHO, lora=[("nan", scale)]) for scale in (1.0, 0.5)]
        driver.finish()
        assert all(failed(answer) for answer in bad)
        assert (plain.text, pirate.text) == (LONG_ANSWER, "Arr, I be Shimmy Mini, a tiny demo model.")
        assert ask_alone(engine, WHO).text == QUESTIONS[WHO]
