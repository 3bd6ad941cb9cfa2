"""Who is served first, and what tenants see of each other."""

from __future__ import annotations

from engine_fixtures import GREEDY, QUESTIONS, Answer, Driver, chat, long_chat, open_engine

from shimmy import _core

WHO = "Who are you?"


def order_of_ends(driver: Driver) -> list[Answer]:
    ended: list[Answer] = []
    while driver.engine.step():
        driver.take()
        ended += [one for one in driver.answers.values() if one.last and not any(one is other for other in ended)]
    return ended


def places(ended: list[Answer], wanted: list[Answer]) -> list[int]:
    return [next(i for i, one in enumerate(ended) if one is answer) for answer in wanted]


def test_a_lower_priority_number_is_served_first() -> None:
    with open_engine(max_num_seqs=1) as engine:
        driver = Driver(engine)
        answers = [driver.ask(WHO, GREEDY, max_tokens=2, priority=priority) for priority in (5, 0, -3, 0)]
        assert places(order_of_ends(driver), answers) == [3, 1, 0, 2]


def test_one_request_beside_twenty_of_another_tenant() -> None:
    with open_engine(max_num_seqs=1) as engine:
        driver = Driver(engine)
        for question in list(QUESTIONS)[:10] * 2:
            driver.ask(question, GREEDY, max_tokens=4, tenant="busy")
        driver.step(8)
        single = driver.ask(WHO, GREEDY, max_tokens=4, tenant="rare")
        ended = order_of_ends(driver)
        assert places(ended, [single])[0] <= 4


def test_tenants_take_turns() -> None:
    with open_engine(max_num_seqs=1, prefix_cache=False) as engine:
        driver = Driver(engine)
        a = [driver.ask(WHO, GREEDY, max_tokens=3, tenant="a") for _ in range(6)]
        b = [driver.ask(WHO, GREEDY, max_tokens=3, tenant="b") for _ in range(6)]
        ended = order_of_ends(driver)
        assert abs(sum(places(ended, a)) - sum(places(ended, b))) <= 6


def test_long_prompts_count_against_their_tenant() -> None:
    """Each of `long`'s requests costs about ten of `short`'s."""
    with open_engine(max_num_seqs=1, prefix_cache=False) as engine:
        driver = Driver(engine)
        for _ in range(4):
            driver.ask(long_chat(WHO, 480), GREEDY, max_tokens=1, tenant="long")
        short = [driver.ask(chat(WHO), GREEDY, max_tokens=1, tenant="short") for _ in range(12)]
        ended = order_of_ends(driver)
        assert max(places(ended, short)) <= 13


def test_prefixes_of_other_tenants_are_not_reused() -> None:
    prompt = long_chat(WHO, 200)
    with open_engine() as engine:
        driver = Driver(engine)

        def cached(tenant: str) -> tuple[int, _core.CacheMiss]:
            answer = driver.ask(prompt, GREEDY, max_tokens=1, tenant=tenant)
            driver.finish()
            return answer.usage.cached_tokens, answer.usage.cache_miss

        assert cached("a") == (0, _core.CacheMiss.EMPTY)
        assert cached("b") == (0, _core.CacheMiss.EMPTY)
        assert cached("") == (0, _core.CacheMiss.EMPTY)
        assert cached("a") == (len(prompt) - 1, _core.CacheMiss.NONE)


def test_running_requests_of_other_tenants_are_not_forked() -> None:
    prompt = long_chat(WHO, 200)
    with open_engine() as engine:
        driver = Driver(engine)
        answers = [driver.ask(prompt, GREEDY, max_tokens=2, tenant=tenant) for tenant in "aab"]
        driver.finish()
        assert [answer.usage.cached_tokens for answer in answers] == [0, len(prompt) - 1, 0]


def test_answers_of_other_tenants_are_not_drafted() -> None:
    question = "Write a poem about the sea."
    with open_engine(prefix_cache=False, start=True, adaptive_draft=False) as engine:

        def drafted(tenant: str) -> int:
            driver = Driver(engine)
            answer = driver.ask(question, GREEDY, tenant=tenant)
            driver.wait()
            assert answer.text == QUESTIONS[question]
            return answer.usage.accepted_tokens

        first = drafted("a")
        again = max(drafted("a") for _ in range(3))
        other = drafted("b")
    assert other == first
    assert again > first
