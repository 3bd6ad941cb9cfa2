"""How far a cache hit moves log-probabilities, and that it moves no answer which they decide clearly.

Other chunks and other cells add up the same numbers in another order, so the last bits differ. NOISE is what is
tolerated; the test reports what it measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from engine_fixtures import QUESTIONS, Answer, ask_alone, long_chat, open_engine, tokenizer

from shimmy import _core

NOISE = 0.3  # nats; the weights have 8 bits, and so have the activations that they meet
LIKELY = -12.0  # of less likely tokens nothing is asked
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
    clear = [long_chat(question, 120) for question in list(QUESTIONS)[:2]]
    unclear = [tokenizer().encode(" ".join(list(QUESTIONS)[i : i + 12])) for i in (0, 4)]
    return [*clear, *unclear]


@pytest.fixture(scope="module")
def plain() -> Iterator[list[Answer]]:
    with open_engine(n_ctx=512, max_num_seqs=2, prefix_cache=False) as engine:
        answers = [ask(engine, prompt) for prompt in prompts()]
        assert engine.stats.cached_tokens == 0
        yield answers


@dataclass
class Noise:
    """How far the log-probabilities of two answers differ, up to where their tokens part."""

    most: float = 0.0
    n_compared: int = 0

    def compare(self, answer: Answer, other: Answer) -> None:
        for (_, top), (_, other_top) in zip(answer.logprobs, other.logprobs, strict=False):
            theirs = dict(other_top)
            for one, two in [(value, theirs[token]) for token, value in top if token in theirs]:
                if max(one, two) > LIKELY:
                    self.most = max(self.most, abs(one - two))
                    self.n_compared += 1
            if top[0][0] != other_top[0][0]:
                gap = top[0][1] - top[1][1]
                assert gap <= 2 * NOISE, "an answer changed where the likeliest token is clear"
                return
        assert answer.tokens == other.tokens


@pytest.mark.parametrize("kv_unified", [True, False], ids=["unified", "split"])
@pytest.mark.parametrize("way", WAYS)
def test_a_cache_hit_moves_nothing_beyond_the_noise(
    plain: list[Answer], way: str, kv_unified: bool, record_property: Callable[[str, object], None]
) -> None:
    noise = Noise()
    n_ctx = 512 if kv_unified else 1024
    for prompt, expected in zip(prompts(), plain, strict=True):
        with open_engine(n_ctx=n_ctx, max_num_seqs=2, kv_unified=kv_unified, cache_ram_mib=64) as engine:
            answer = WAYS[way](engine, prompt)
            assert answer.usage.cached_tokens > 0
            noise.compare(expected, answer)
    record_property("noise_nats", noise.most)
    logger.info("%s: at most %.2g nats over %d log-probabilities", way, noise.most, noise.n_compared)
    assert noise.n_compared > 60
    assert noise.most <= NOISE


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
