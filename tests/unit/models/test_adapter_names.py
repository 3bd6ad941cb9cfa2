"""MODEL:ADAPTER and numbers of adapters."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_gguf import write_adapter, write_model

from shimmy.discovery.walk import Root
from shimmy.errors import InvalidRequestError, ModelNotFoundError
from shimmy.models.adapter_names import named, numbered
from shimmy.models.registry import Registry
from shimmy.request import GenerateRequest
from shimmy.settings import Settings

SETTINGS = """
[models.m]
aliases = ["org/m:8b", "m:taken"]
adapters = { m-loud = 0.25 }
[names.best]
fallback = ["m"]
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    write_model(tmp_path / "m.gguf")
    for name in ("loud", "quiet"):
        write_adapter(tmp_path / f"m-{name}.gguf")
    (tmp_path / "models.toml").write_text(SETTINGS)
    return Registry(Settings(model_settings=tmp_path / "models.toml"), roots=[Root(tmp_path)])


@pytest.mark.parametrize(
    ("name", "lora"),
    [
        ("m:m-quiet", {"m-quiet": 1.0}),
        ("m:m-loud", {"m-loud": 0.25}),  # as the settings say
        ("M:M-Quiet", {"m-quiet": 1.0}),
        ("m:m-quiet:latest", {"m-quiet": 1.0}),
        ("org/m:8b:m-quiet", {"m-quiet": 1.0}),
    ],
)
def test_a_suffix_is_an_adapter(registry: Registry, name: str, lora: dict[str, float]) -> None:
    entry = registry.get(name)
    assert (entry.name, entry.engine) == (f"m:{next(iter(lora))}", "m")
    request = GenerateRequest(request_id="r", prompt="x")
    assert entry.defaults.request(request, {}).lora == lora
    assert entry.defaults.adapters({"other": 0.5}) == {**lora, "other": 0.5}
    assert entry.defaults.adapters(dict.fromkeys(lora, 0.1)) == dict.fromkeys(lora, 0.1)


def test_a_whole_name_is_never_altered(registry: Registry) -> None:
    for name in ("m", "m:latest", "org/m:8b", "m:taken", "best"):
        entry = registry.get(name)
        assert (entry.name, entry.defaults.adapters({})) == ("m", {"m-loud": 0.25})
    registry.adapter_changes.add("m", "taken", Path("taken.gguf"))
    assert not registry.get("m:taken").defaults.chosen
    assert registry.adapter_names(registry.get("m")) == ["m:m-loud", "m:m-quiet"]


@pytest.mark.parametrize("name", ["m:", ":m-loud", "m:m-loud:m-quiet", "best:m-loud", "m:nope", "x:m-loud", ":" * 9999])
def test_anything_else_is_no_model(registry: Registry, name: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        registry.get(name)
    assert ("has no adapter 'nope'; it has m-loud, m-quiet" in str(caught.value)) == (name == "m:nope")


def test_changes_at_run_time(registry: Registry, tmp_path: Path) -> None:
    changes = registry.adapter_changes
    changes.add("m", "late", tmp_path / "late.gguf")
    changes.set_scales("m", {"late": 0.5, "m-loud": 0.0})
    entry = registry.get("m")
    assert list(entry.adapters) == ["m-loud", "m-quiet", "late"]
    assert entry.defaults.lora == {"late": 0.5}
    assert list(entry.load_spec().adapters) == ["m-loud", "m-quiet"]  # the rest when they are wanted
    changes.remove(entry, "late")
    changes.remove(entry, "m-quiet")
    assert list(registry.get("m").adapters) == ["m-loud"]
    assert registry.get("m").defaults.lora == {}
    assert set(changes.removed("m")) == {"late", "m-quiet"}
    registry.rescan()
    assert list(registry.get("m").load_spec().adapters) == ["m-loud"]
    changes.add("m", "m-quiet", tmp_path / "m-quiet.gguf")
    assert [list(one.adapters) for one in registry.entries() if one.name == "m"] == [["m-loud", "m-quiet"]]


def test_numbers_stand_for_places() -> None:
    assert named({numbered(1): 0.5, "c": 1.0}, ["a", "b"]) == {"b": 0.5, "c": 1.0}
    assert named({"#0": 0.5}, ["x", "#0"]) == {"#0": 0.5}
    for wrong in ("#2", "#99999999999999999999"):
        with pytest.raises(InvalidRequestError, match="of 2, counted from 0"):
            named({wrong: 1.0}, ["a", "b"])
