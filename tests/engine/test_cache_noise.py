"""How far a cache hit moves log-probabilities: no further than other batches do, and it moves no answer that is clear.

Other chunks and other cells add up the same numbers in another order, so the last bits differ. By how much without any
cache is measured here, and what a cache adds is held against that; bench/noise.py prints the same of any model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from engine_fixtures import QUESTIONS, Answer, Driver, ask_alone, long_chat, open_engine, tokenizer

from noise import Noise
from shimmy import _core

USUAL, WORST = 1.5, 2.0
"""By what factors a cache's noise may pass the floor: its root mean square, and its largest value, which is a matter of
chance (0.5 to 0.9 of the floor's when this was written)."""
N_TOP = 20

logger = logging.getLogger(__name__)

Ask = Callable[[_core.Engine, list[int]], Answer]


def ask(engine: _core.Engine, prompt: list[int]) -> Answer:
    return ask_alone(engine, prompt, logprobs=N_TOP, max_tokens=8)


def ask_again(engine: _core.Engine, prompt: list[int]) -> Answer:
    ask(engine, prompt)
    return ask(engine, prompt)


def ask_continued(engine: _core.Engine, prompt: list[int]) -> Answer:
    ask_alone(engine, prompt[: len(prompt) // 2], max_tokens=1)
    return ask(engine, prompt)


def ask_forked(engine: _core.Engine, prompt: list[int]) -> Answer:
    ask_alone(engine, [*prompt[:-5], *[7] * 40], max_tokens=1)
    return ask(engine, prompt)


def ask_restored(engine: _core.Engine, prompt: list[int]) -> Answer:
    ask_alone(engine, prompt, max_tokens=1)
    for token in range(100, 104):
        ask_alone(engine, [token] * (engine.n_ctx - 8), max_tokens=1)
    return ask(engine, prompt)


WAYS: dict[str, Ask] = {
    "again": ask_again,
    "continued": ask_continued,
    "forked": ask_forked,
    "restored": ask_restored,
}


def prompts() -> list[list[int]]:
    """Some that the model answers clearly, and some that it makes nothing of."""
    clear = [long_chat(question, 60 + 15 * i) for i, question in enumerate(list(QUESTIONS)[:5])]
    unclear = [tokenizer().encode(" ".join(list(QUESTIONS)[i : i + 12])) for i in range(3)]
    return [*clear, *unclear]


@pytest.fixture(scope="module")
def plain() -> Iterator[list[Answer]]:
    """Each prompt alone, without a cache."""
    with open_engine(n_ctx=512, max_num_seqs=2, prefix_cache=False) as engine:
        answers = [ask(engine, prompt) for prompt in prompts()]
        assert engine.stats.cached_tokens == 0
        yield answers


@pytest.fixture(scope="module")
def floor(plain: list[Answer]) -> Noise:
    """What other batches do without a cache: beside others, in chunks, both, and as few at a time as decode."""
    noise = Noise()
    for n_batch, n_ubatch, together in ((512, 512, True), (64, 64, False), (64, 64, True), (64, 8, False)):
        with open_engine(
            n_ctx=2048,
            n_batch=n_batch,
            n_ubatch=n_ubatch,
            prefill_budget=n_batch,
            max_num_seqs=5,
            prefix_cache=False,
        ) as engine:
            driver = Driver(engine)
            answers = []
            for prompt in prompts():
                answers.append(driver.ask(prompt, logprobs=N_TOP, max_tokens=8))
                if not together:
                    driver.finish()
            driver.finish()
            assert engine.stats.cached_tokens == 0
        for one, other in zip(plain, answers, strict=True):
            noise.compare(one.logprobs, other.logprobs)
    return noise


@pytest.mark.parametrize("kv_unified", [True, False], ids=["unified", "split"])
@pytest.mark.parametrize("way", WAYS)
def test_a_cache_hit_moves_nothing_beyond_the_noise(
    plain: list[Answer], floor: Noise, way: str, kv_unified: bool, record_property: Callable[[str, object], None]
) -> None:
    noise = Noise()
    n_ctx = 512 if kv_unified else 1024
    for prompt, expected in zip(prompts(), plain, strict=True):
        with open_engine(n_ctx=n_ctx, max_num_seqs=2, kv_unified=kv_unified, cache_ram_mib=64) as engine:
            answer = WAYS[way](engine, prompt)
            assert answer.usage.cached_tokens > 0
            noise.compare(expected.logprobs, answer.logprobs)
    for name, one in (("off", floor), (way, noise)):
        record_property(f"rms_nats_{name}", one.rms)
        record_property(f"most_nats_{name}", one.most)
        record_property(f"changed_{name}", f"{len(one.gaps)} of {one.n_answers}")
        logger.info("%s: rms %.2g, at most %.2g nats over %d", name, one.rms, one.most, len(one.differences))
    assert min(len(floor.differences), len(noise.differences)) > 200
    assert noise.rms <= USUAL * floor.rms
    assert noise.most <= WORST * floor.most
    # An answer changes only where both of its likeliest tokens can move that far.
    assert max([0.0, *floor.gaps]) <= 2 * floor.most
    assert max([0.0, *noise.gaps]) <= 2 * WORST * floor.most


@pytest.mark.parametrize("way", ["again", "continued", "forked"])
def test_a_deterministic_engine_has_no_noise(way: str) -> None:
    prompt = long_chat("Who are you?", 600)
    exact: list[Answer] = []
    for prefix_cache in (False, True):
        with open_engine(
            n_ctx=2048, max_num_seqs=2, prefix_cache=prefix_cache, deterministic=True, cache_ram_mib=0
        ) as engine:
            exact.append(WAYS[way](engine, prompt))
    assert exact[0].tokens == exact[1].tokens
    assert exact[0].logprobs == exact[1].logprobs
    assert exact[1].usage.cached_tokens >= 256 if way != "continued" else True
