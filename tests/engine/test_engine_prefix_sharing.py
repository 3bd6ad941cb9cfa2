"""Shared prefixes: computed once for many, forked without loss, evicted and fetched back, and why one was missed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from engine_fixtures import QUESTIONS, Answer, Driver, ask_alone, chat, long_chat, open_engine

from shimmy import _core
from shimmy.errors import InvalidRequestError

QUESTION, ANSWER = next(iter(QUESTIONS.items()))
Miss = _core.CacheMiss

both_caches = pytest.mark.parametrize("kv_unified", [True, False], ids=["unified", "split"])


def computed_tokens(engine: _core.Engine) -> int:
    """Prompt tokens that finished requests had computed."""
    return engine.stats.prompt_tokens - engine.stats.cached_tokens


@both_caches
def test_simultaneous_requests_compute_a_shared_prefix_once(kv_unified: bool) -> None:
    questions = list(QUESTIONS)[:8]
    prompts = [long_chat(question, 400) for question in questions]
    shared = min(i for i in range(400) if len({prompt[i] for prompt in prompts}) > 1)
    assert shared > 350
    with open_engine(n_ctx=8192, n_batch=128, n_ubatch=128, max_num_seqs=8, kv_unified=kv_unified) as engine:
        driver = Driver(engine)
        answers = [driver.ask(prompt) for prompt in prompts]
        driver.step()
        assert (engine.stats.running, engine.stats.waiting) == (1, 7)
        driver.finish()
        assert [answer.text for answer in answers] == [QUESTIONS[question] for question in questions]
        tails = sum(len(prompt) - shared for prompt in prompts)
        # Fewer than 32 tokens are not waited for.
        assert computed_tokens(engine) < shared + tails + 7 * 32
        assert [answer.usage.cached_tokens > shared - 32 for answer in answers] == [False] + [True] * 7


def test_equal_requests_compute_one_prompt() -> None:
    prompt = long_chat(QUESTION, 300)
    with open_engine(n_ctx=8192, max_num_seqs=8) as engine:
        driver = Driver(engine)
        answers = [driver.ask(prompt) for _ in range(8)]
        driver.finish()
        assert {answer.text for answer in answers} == {ANSWER}
        assert computed_tokens(engine) == len(prompt) + 7
        # What they have in common takes its cells once.
        assert engine.stats.kv_cells_used < len(prompt) + 50


def test_waiting_requests_do_not_hold_up_others() -> None:
    prompt = long_chat(QUESTION, 400)
    with open_engine(n_ctx=4096, n_batch=64, n_ubatch=64) as engine:
        driver = Driver(engine)
        leader = driver.ask(prompt)
        followers = [driver.ask(long_chat(question, 400)) for question in list(QUESTIONS)[1:3]]
        other = driver.ask([5] * 20, max_tokens=1)
        while other.last is None:
            driver.step()
        assert leader.last is None
        assert not any(answer.tokens for answer in followers)
        driver.finish()


@pytest.mark.parametrize("how", ["cancelled", "preempted"])
def test_requests_go_on_when_the_one_they_wait_for_ends(how: str) -> None:
    n_ctx = 8192 if how == "cancelled" else 768
    with open_engine(n_ctx=n_ctx, n_batch=64, n_ubatch=64, max_num_seqs=4) as engine:
        driver = Driver(engine)
        if how == "preempted":
            driver.ask(chat("Count to 60."), max_tokens=300, ignore_eos=True)
        leader = driver.ask(long_chat(QUESTION, 400))
        followers = [driver.ask(long_chat(question, 400)) for question in list(QUESTIONS)[1:4]]
        driver.step(2)
        if how == "cancelled":
            driver.cancel(leader)
        driver.finish()
        assert [answer.text for answer in followers] == list(QUESTIONS.values())[1:4]


@both_caches
def test_a_long_conversation_survives_short_requests_with_its_beginning(kv_unified: bool) -> None:
    long = long_chat(QUESTION, 600)
    questions = ("What color is the sky?", "Is 735 odd?", "76 + 675", "List three animals.", "Spell lothel.")
    # In the KV cache while there are other slots to give, and then by way of host memory.
    for ram, n in ((0, 3), (64, len(questions))):
        with open_engine(n_ctx=4096, max_num_seqs=4, kv_unified=kv_unified, cache_ram_mib=ram) as engine:
            ask_alone(engine, long)
            for question in questions[:n]:
                assert ask_alone(engine, long[:200] + chat(question)[10:]).usage.cached_tokens >= 200
            again = ask_alone(engine, long)
            assert again.usage.cached_tokens == len(long) - 1
            assert again.text == ANSWER


def fill(engine: _core.Engine) -> None:
    """Push everything that is kept out of the KV cache: with conversations that share nothing."""
    for start in range(4):
        ask_alone(engine, [100 + start] * (engine.n_ctx - 8), max_tokens=1)


@both_caches
def test_evicted_prefixes_come_back_from_host_memory(kv_unified: bool) -> None:
    n_ctx = 512 if kv_unified else 2048
    prompt = long_chat(QUESTION, 300)
    for ram in (64, 0):
        with open_engine(n_ctx=n_ctx, max_num_seqs=4, kv_unified=kv_unified, cache_ram_mib=ram) as engine:
            first = ask_alone(engine, prompt)
            assert (first.usage.cache_miss, first.usage.cache_diverged_at) == (Miss.EMPTY, 0)
            fill(engine)
            again = ask_alone(engine, prompt)
            assert again.tokens == first.tokens
            if ram:
                assert again.usage.cached_tokens == len(prompt) - 1
                assert (again.usage.cache_miss, again.usage.cache_diverged_at) == (Miss.NONE, -1)
            else:
                assert again.usage.cached_tokens < 20
                assert again.usage.cache_miss == Miss.EVICTED


def test_the_reason_of_a_miss() -> None:
    prompt = chat(QUESTION)
    with open_engine(adapters=True) as engine:
        assert ask_alone(engine, prompt).usage.cache_miss == Miss.EMPTY
        assert ask_alone(engine, prompt, lora=[("pirate", 1.0)]).usage.cache_miss == Miss.ADAPTERS
        usage = ask_alone(engine, prompt).usage
        assert (usage.cache_miss, usage.cache_diverged_at) == (Miss.NONE, -1)
        usage = ask_alone(engine, [*prompt[:10], 1, *prompt[10:]]).usage
        assert (usage.cache_miss, usage.cache_diverged_at, usage.cached_tokens) == (Miss.DIVERGED, 10, 10)
    with open_engine(prefix_cache=False) as engine:
        usage = ask_alone(engine, prompt).usage
        assert (usage.cache_miss, usage.cache_diverged_at) == (Miss.DISABLED, 0)


Ask = Callable[[_core.Engine, list[int]], Answer]


def ask_after_eviction(engine: _core.Engine, prompt: list[int]) -> Answer:
    ask_alone(engine, prompt)
    fill(engine)
    return ask_alone(engine, prompt)


def ask_forked(engine: _core.Engine, prompt: list[int]) -> Answer:
    ask_alone(engine, [*prompt[:-8], *[7] * 60])
    return ask_alone(engine, prompt)


@both_caches
@pytest.mark.parametrize("ask", [ask_alone, ask_after_eviction, ask_forked], ids=["fresh", "restored", "forked"])
def test_answers_are_those_of_an_engine_without_cache(kv_unified: bool, ask: Ask) -> None:
    n_ctx = 512 if kv_unified else 1024
    prompts = [long_chat(question, 150) for question in list(QUESTIONS)[:6]]
    with open_engine(prefix_cache=False) as engine:
        expected = [ask_alone(engine, prompt).tokens for prompt in prompts]
    with open_engine(n_ctx=n_ctx, max_num_seqs=2, kv_unified=kv_unified, cache_ram_mib=64) as engine:
        assert [ask(engine, prompt).tokens for prompt in prompts] == expected
        assert ask is ask_alone or engine.stats.cached_tokens > 100 * len(prompts)


@pytest.mark.parametrize("mib", [-2, 1 << 25])
def test_a_budget_out_of_range_is_refused(mib: int) -> None:
    with pytest.raises(InvalidRequestError, match="cache_ram_mib is") as caught, open_engine(cache_ram_mib=mib):
        pass
    assert caught.value.param == "cache_ram_mib"
