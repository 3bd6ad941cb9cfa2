"""The choice behind `auto`, as a function."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from shimmy.models.auto_choice import AutoSettings, Candidate, Rule, ranked, why_none
from shimmy.models.need import ABILITIES, Need, need_of, need_of_prompt
from shimmy.request import ChatPrompt, GenerateRequest

TASKS = ("chat", "completion", "embedding", "rerank")
NO_LIMIT = 10**18


def model(name: str, *more: str, size: int = 1, n_ctx: int | None = 8192, residence: str = "unloaded") -> Candidate:
    abilities = frozenset({"chat", "completion", *more} if "embedding" not in more else more)
    return Candidate(name=name, abilities=abilities, size_bytes=size, n_ctx=n_ctx, residence=residence)


def names(need: Need, *models: Candidate, max_bytes: int = NO_LIMIT, **settings: object) -> list[str]:
    return [one.name for one in ranked(need, models, AutoSettings(**settings), max_bytes)]


names_of_models = st.sampled_from(["a", "b", "c", "d", "e", "org/x:1"])
candidates = st.lists(
    st.builds(
        Candidate,
        name=names_of_models,
        abilities=st.frozensets(st.sampled_from(ABILITIES)),
        size_bytes=st.integers(0, 10),
        n_ctx=st.none() | st.integers(16, 10_000),
        residence=st.sampled_from(["loaded", "unloaded", "failed"]),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)
needs = st.builds(
    Need,
    task=st.sampled_from(TASKS),
    tools=st.booleans(),
    thinking=st.booleans(),
    insert=st.booleans(),
    n_tokens=st.integers(0, 20_000),
)
patterns = st.lists(st.sampled_from(["a", "B", "c", "*", "org/*", "none"]), max_size=3).map(tuple)
rules = st.builds(
    Rule,
    models=patterns.filter(bool),
    task=st.none() | st.sampled_from(TASKS),
    needs=st.lists(st.sampled_from(ABILITIES), max_size=2).map(tuple),
    min_tokens=st.integers(0, 10_000),
)
settings_of_auto = st.builds(
    AutoSettings,
    models=patterns,
    prefer=st.sampled_from(["large", "small"]),
    loaded_first=st.booleans(),
    rules=st.dictionaries(st.sampled_from(["one", "two"]), rules, max_size=2),
)


@given(needs, candidates, settings_of_auto, st.integers(0, 10), st.randoms())
def test_what_always_holds(need: Need, models: list[Candidate], auto: AutoSettings, most: int, random: object) -> None:
    found = ranked(need, models, auto, most)
    assert len({one.name for one in found}) == len(found)
    for one in found:
        assert one in models
        assert need.abilities() <= one.abilities
        assert one.size_bytes <= most or one.residence == "loaded"
        assert not auto.models or one.place_in(auto.models) is not None
    left_out = [one for one in models if one not in found]
    if not found:
        assert all(one.name in why_none(need, models, auto, most) for one in left_out)
    shuffled = list(models)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ranked(need, shuffled, auto, most) == found
    failed = [one.residence == "failed" for one in found]
    assert failed == sorted(failed)


@given(needs, candidates, settings_of_auto)
def test_more_models_never_take_the_choice_away(need: Need, models: list[Candidate], auto: AutoSettings) -> None:
    fewer = ranked(need, models[:-1], auto, NO_LIMIT)
    assert bool(ranked(need, models, auto, NO_LIMIT)) >= bool(fewer)


@given(needs, candidates)
def test_embeddings_do_not_depend_on_what_is_loaded(need: Need, models: list[Candidate]) -> None:
    need = msgspec.structs.replace(need, task="embedding")
    before = [msgspec.structs.replace(one, residence="unloaded") for one in models]
    after = [msgspec.structs.replace(one, residence="loaded") for one in models]
    order = [one.name for one in ranked(need, before, AutoSettings(), NO_LIMIT)]
    assert [one.name for one in ranked(need, after, AutoSettings(), NO_LIMIT)] == order


def test_abilities_are_demanded() -> None:
    models = [model("plain"), model("able", "tools"), model("vectors", "embedding")]
    assert names(Need(), *models) == ["able", "plain"]
    assert names(Need(tools=True), *models) == ["able"]
    assert names(Need(task="embedding"), *models) == ["vectors"]
    assert names(Need(thinking=True), *models) == []
    told = why_none(Need(thinking=True), models, AutoSettings(), NO_LIMIT)
    assert "chat and thinking is needed" in told
    assert "plain has no thinking" in told
    assert "vectors has no chat and no thinking" in told


def test_size_and_what_is_loaded() -> None:
    models = [model("s", size=1), model("m", size=2, residence="loaded"), model("l", size=3)]
    assert names(Need(), *models) == ["m", "l", "s"]
    assert names(Need(), *models, loaded_first=False) == ["l", "m", "s"]
    assert names(Need(), *models, loaded_first=False, prefer="small") == ["s", "m", "l"]
    assert names(Need(), *models, max_bytes=1) == ["m", "s"]
    assert "l has 0.0 GB, more than 0.0 (auto.max_gb)" in why_none(Need(), [models[2]], AutoSettings(), 1)


def test_the_context_that_is_needed() -> None:
    models = [model("short", size=9, n_ctx=1000), model("long", n_ctx=9000), model("unknown", n_ctx=None)]
    assert names(Need(n_tokens=900), *models)[0] == "short"
    assert names(Need(n_tokens=4000), *models)[0] == "long"
    assert names(Need(n_tokens=4000), *models)[-1] == "short"
    assert names(Need(n_tokens=100_000), *models)[0] == "long"


def test_rules_decide_in_their_order() -> None:
    models = [model("big", size=9), model("code", "tools"), model("reader", "tools", n_ctx=100_000)]
    auto = {
        "rules": {
            "long": Rule(models=("reader",), min_tokens=10_000),
            "tools": Rule(models=("gone", "code", "reader"), needs=("tools",)),
            "vectors": Rule(models=("big",), task="embedding"),
        }
    }
    assert names(Need(), *models, **auto)[0] == "big"
    assert names(Need(tools=True), *models, **auto) == ["code", "reader"]
    assert names(Need(tools=True, n_tokens=20_000), *models, **auto)[0] == "reader"
    assert names(Need(n_tokens=20_000), *models, **auto) == ["reader", "big", "code"]
    assert names(Need(), *models, models=("CO*",)) == ["code"]


def test_what_failed_comes_last() -> None:
    models = [model("a", size=9, residence="failed"), model("b")]
    assert names(Need(), *models) == ["b", "a"]
    assert names(Need(), *models, rules={"x": Rule(models=("a",))}) == ["b", "a"]


def test_what_a_request_needs() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    chat = ChatPrompt(messages=[{"role": "user", "content": "x" * 300}])
    assert need_of_prompt(chat).abilities() == {"chat"}
    assert 100 <= need_of_prompt(chat).n_tokens <= 130
    assert need_of(GenerateRequest(request_id="r", prompt=chat, max_tokens=1000)).n_tokens >= 1100
    assert need_of_prompt(msgspec.structs.replace(chat, tools=[tool])).tools
    assert not need_of_prompt(msgspec.structs.replace(chat, tools=[tool], tool_choice="none")).tools
    assert need_of_prompt(msgspec.structs.replace(chat, template_kwargs={"reasoning_effort": "low"})).thinking
    assert need_of_prompt(chat, thinking=True).thinking
    assert need_of_prompt([1, 2, 3]) == Need(task="completion", n_tokens=3)
    assert need_of_prompt("abc" * 10).n_tokens == 10
