"""`auto` among the models of a registry, and its table in the settings file."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine
from tiny_gguf import write_model

from shimmy.discovery.walk import Root
from shimmy.errors import InvalidRequestError
from shimmy.model_info import LoadSpec
from shimmy.models.manager import ModelManager
from shimmy.models.model_settings import load_model_settings
from shimmy.models.need import Need
from shimmy.models.registry import Registry
from shimmy.models.virtual_names import answering, begin_choices
from shimmy.settings import Settings, SettingsError

TOOLS = {"tokenizer.chat_template": "{% if tools %}{{ tools }}{% endif %}"}
VECTORS = {"general.architecture": "bert", "tokenizer.chat_template": None, "bert.context_length": 512}


def registry(folder: Path, text: str = "") -> Registry:
    (folder / "models.toml").write_text(text)
    return Registry(Settings(model_settings=folder / "models.toml"), roots=[Root(folder)])


def chosen(models: Registry, need: Need) -> str:
    def request() -> str:
        begin_choices()
        models.settle("auto", lambda: need)
        assert answering("auto") == models.get("auto").name == models.get("auto:latest").name
        return models.get("auto").name

    return contextvars.copy_context().run(request)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auto = 1", "1: auto must be a table"),
        ("[auto]\nprefer = 'best'", "2: auto.prefer: Invalid enum value 'best'"),
        ("[auto]\nmax_gb = 0", "2: auto.max_gb: Expected `float` > 0"),
        ("[auto]\nmodel = ['x']", "2: unknown key 'model' in auto; did you mean 'models'?"),
        ("[auto.rules.code]\ntask = 'chat'", "1: auto.rules.code: missing required argument 'models'"),
        ("[auto.rules.code]\nmodels = ['x']\nneeds = ['eyes']", "3: auto.rules.code.needs: Invalid enum value 'eyes'"),
        ("[auto.rules.code]\nmodels = []", "2: auto.rules.code.models: Expected `array` of length >= 1"),
        ("[auto]\n[names.auto]\nfallback = ['x']", "2: names.auto and auto exclude each other"),
        ("[models.x]\ncapabilities = ['sing']", "2: models.x.capabilities: Invalid enum value 'sing'"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "models.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_model_settings(tmp_path / "models.toml", required=True)
    assert words in caught.value.message


def test_what_a_request_needs_decides(tmp_path: Path) -> None:
    write_model(tmp_path / "plain.gguf", n_params=999)
    write_model(tmp_path / "able.gguf", TOOLS)
    write_model(tmp_path / "vectors.gguf", VECTORS)
    models = registry(tmp_path)
    assert chosen(models, Need()) == "plain"
    assert chosen(models, Need(tools=True)) == "able"
    assert chosen(models, Need(task="embedding")) == "vectors"
    with pytest.raises(InvalidRequestError, match=r"rerank is needed: .*vectors has no rerank") as caught:
        chosen(models, Need(task="rerank"))
    assert caught.value.param == "model"
    (listed,) = models.virtual_names()
    assert (listed.name, listed.chooses, listed.models) == ("auto", "auto", ("able", "plain"))
    assert "tools" in listed.abilities


def test_settings_declare_what_a_model_can_do(tmp_path: Path) -> None:
    write_model(tmp_path / "plain.gguf")
    write_model(tmp_path / "able.gguf", TOOLS)
    text = """
        [models.plain]
        aliases = ["thinker"]
        capabilities = ["chat", "thinking"]
        [auto.rules.thought]
        needs = ["thinking"]
        models = ["gone", "THINK*"]
    """
    models = registry(tmp_path, text)
    assert chosen(models, Need(thinking=True)) == "plain"
    assert [problem.message for problem in models.problems] == ["auto.rules.thought.models: 'gone' is not found"]


def test_a_model_called_auto_is_meant(tmp_path: Path) -> None:
    write_model(tmp_path / "auto.gguf")
    write_model(tmp_path / "big.gguf", n_params=999)
    models = registry(tmp_path, "[auto]\nprefer = 'large'")
    assert models.get("auto").name == models.get("AUTO").name == "auto"
    models.settle("auto", lambda: Need(task="rerank"))
    assert models.virtual_names() == []
    assert "which is what the name means" in models.problems[0].message


def test_an_alias_and_a_name_called_auto_are_meant(tmp_path: Path) -> None:
    write_model(tmp_path / "a.gguf")
    write_model(tmp_path / "b.gguf", n_params=999)
    assert registry(tmp_path, "[models.a]\naliases = ['auto']").get("auto").name == "a"
    models = registry(tmp_path, "[names.auto]\nfallback = ['a']")
    assert models.get("auto").name == "a"
    assert [one.chooses for one in models.virtual_names()] == ["fallback"]


def test_one_model_is_no_choice_to_list(tmp_path: Path) -> None:
    write_model(tmp_path / "a.gguf")
    assert registry(tmp_path).virtual_names() == []
    assert registry(tmp_path).get("auto").name == "a"
    assert [one.name for one in registry(tmp_path, "[auto]").virtual_names()] == ["auto"]


def test_what_is_loaded_and_what_fails_to_load(tmp_path: Path) -> None:
    async def start(spec: LoadSpec, progress: Callable[[float], None] | None) -> ScriptedEngine:
        return await ScriptedEngine.load(spec, progress)

    write_model(tmp_path / "broken.gguf", n_params=9999)
    write_model(tmp_path / "large.gguf", n_params=999)
    write_model(tmp_path / "small.gguf")
    manager = ModelManager(registry(tmp_path), start)

    async def request(name: str = "auto") -> str:
        begin_choices()
        async with manager.use(name) as client:
            return client.info.name

    async def test() -> None:
        assert chosen(manager.registry, Need()) == "broken"
        assert await asyncio.create_task(request()) == "large"
        assert chosen(manager.registry, Need()) == "large"  # what failed a moment ago is not tried first
        await manager.unload("large")
        assert await asyncio.create_task(request("small")) == "small"
        assert await asyncio.create_task(request()) == "small"
        await manager.close()

    asyncio.run(test())
