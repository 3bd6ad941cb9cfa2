from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from scripted_engine import ScriptedEngine
from tiny_gguf import write_model

from shimmy.discovery.walk import Root
from shimmy.errors import ModelLoadError, ModelNotFoundError
from shimmy.model_info import LoadSpec
from shimmy.models.manager import ModelManager
from shimmy.models.model_settings import load_model_settings
from shimmy.models.registry import Registry
from shimmy.models.virtual_names import VirtualName, begin_choices, remember
from shimmy.settings import Settings, SettingsError

LIST = VirtualName(fallback=("a", "b", "c"))


def test_a_list_gives_the_first_that_is_there() -> None:
    assert LIST.order(lambda name: True) == ["a", "b", "c"]
    assert LIST.order(lambda name: name == "c") == ["c"]
    assert LIST.order(lambda name: False) == []


def test_a_split_follows_its_weights() -> None:
    split = VirtualName(split={"a": 3, "b": 1, "gone": 96})
    draw = Random(1).random
    counts = Counter(split.order(lambda name: name != "gone", draw)[0] for _ in range(4000))
    assert set(counts) == {"a", "b"}
    assert 2800 < counts["a"] < 3200
    assert split.order(lambda name: True, lambda: 0.999999) == ["gone"]


def test_choices_are_those_of_one_task() -> None:
    assert contextvars.copy_context().run(remember, "x", "a") is False

    def request() -> dict[str, str]:
        made = begin_choices()
        assert remember("x", "a")
        return made

    assert contextvars.copy_context().run(request) == {"x": "a"}
    assert contextvars.copy_context().run(request) == {"x": "a"}


def registry(folder: Path, text: str) -> Registry:
    (folder / "models.toml").write_text(text)
    return Registry(Settings(model_settings=folder / "models.toml"), roots=[Root(folder)])


class TestSettings:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[names.x]", "1: names.x needs either fallback or split"),
            ("[names.x]\nfallback=['a']\nsplit={a=1}", "1: names.x needs either"),
            ("[names.x]\nfallback=[]", "2: names.x.fallback: Expected `array` of length >= 1"),
            ("[names.x]\nsplit={a=0}", "2: names.x.split: Expected `float` > 0"),
            ("[names.x]\nfalback=['a']", "2: unknown key 'falback' in names.x; did you mean 'fallback'?"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, text: str, words: str) -> None:
        (tmp_path / "models.toml").write_text(text)
        with pytest.raises(SettingsError) as caught:
            load_model_settings(tmp_path / "models.toml", required=True)
        assert words in caught.value.message


class TestRegistry:
    def test_a_name_means_a_model_that_is_there(self, tmp_path: Path) -> None:
        write_model(tmp_path / "small.gguf")
        models = registry(tmp_path, "[names.best]\nfallback = ['big', 'small']")
        assert models.get("best").name == "small"
        assert [(one.name, one.chooses, one.models) for one in models.virtual_names()] == [
            ("best", "fallback", ("small",))
        ]
        assert [problem.message for problem in models.problems] == ["names.best: 'big' is not found"]
        with pytest.raises(ModelNotFoundError, match="available: small, best, shimmy-mini"):
            models.get("nothing")

    def test_none_is_there(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError):
            registry(tmp_path, "[names.best]\nfallback = ['big']").get("best")

    def test_names_of_models_are_never_altered(self, tmp_path: Path) -> None:
        write_model(tmp_path / "a.gguf")
        write_model(tmp_path / "b.gguf")
        models = registry(tmp_path, "[names.a]\nfallback = ['b']")
        assert models.get("a").name == "a"
        assert models.fall_back("a", "a") is False
        assert "which is what the name means" in models.problems[0].message

    def test_one_request_stays_with_its_choice(self, tmp_path: Path) -> None:
        for name in "abcdefgh":
            write_model(tmp_path / f"{name}.gguf")
        models = registry(tmp_path, "[names.x]\nsplit = { a=1, b=1, c=1, d=1, e=1, f=1, g=1, h=1 }")

        def request() -> set[str]:
            begin_choices()
            return {models.get("x").name for _ in range(20)}

        chosen = [contextvars.copy_context().run(request) for _ in range(40)]
        assert all(len(names) == 1 for names in chosen)
        assert len(set.union(*chosen)) > 1


def test_a_manager_falls_back_to_what_loads(tmp_path: Path) -> None:
    async def start(spec: LoadSpec, progress: Callable[[float], None] | None) -> ScriptedEngine:
        return await ScriptedEngine.load(spec, progress)

    for name in ("broken1", "broken2", "good"):
        write_model(tmp_path / f"{name}.gguf")
    text = """
        [models.broken1]
        aliases = ["one"]
        [names.best]
        fallback = ["one", "gone", "broken2", "good"]
        [names.worst]
        fallback = ["broken1"]
    """
    manager = ModelManager(registry(tmp_path, text), start)

    async def request() -> dict[str, str]:
        made = begin_choices()
        for _ in range(2):
            async with manager.use("best") as client:
                assert client.info.name == "good"
        with pytest.raises(ModelLoadError, match="bad magic"):
            await manager.get("worst")
        await manager.close()
        return made

    assert asyncio.run(request()) == {"best": "good", "worst": "broken1"}
