"""tune, with a fake measurement; the store is in an empty folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import shimmy.tuning.identity
import shimmy.tuning.tuner
from shimmy.errors import ModelLoadError
from shimmy.model_info import LoadSpec
from shimmy.tuning.duel import Gain
from shimmy.tuning.search import Trial
from shimmy.tuning.setup import Setup
from shimmy.tuning.store import Store
from shimmy.tuning.winner import Identity, Speed, Winner

Run = Callable[..., Result]


class FakeTuner:
    """Gives the same winner for each model. `calls` holds what was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[LoadSpec, dict[str, Any]]] = []
        self.setup = Setup(flash_attn="off")
        self.busy = 0.0

    def identify(self, spec: LoadSpec) -> Identity:
        return Identity(model=f"model {spec.name}", machine="A fine CPU, 2 CPUs", build="1.2.3")

    def tune(self, spec: LoadSpec, **options: Any) -> Winner:
        self.calls.append((spec, options))
        gain = Gain(1.34, 1.2, 1.41) if self.setup != Setup() else None
        return Winner(
            identity=self.identify(spec),
            setup=self.setup,
            created="2026-11-21T10:00:00Z",
            seconds=41.0,
            depth=4096,
            busy=self.busy,
            speeds={"deep decode": Speed(default_rate=20.0, spread=0.031, gain=gain)},
            trials=[
                Trial(group="threads", name="1", outcome="busy", rounds=4, reason="others had 30% of the cores"),
                Trial(
                    group="attention",
                    name="flash attention off",
                    outcome="better",
                    rounds=4,
                    gains={"deep decode": Gain(1.3, 1.2, 1.4)},
                ),
            ],
        )


@pytest.fixture
def tuner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTuner:
    fake = FakeTuner()
    monkeypatch.setattr(shimmy.tuning.tuner, "tune", fake.tune)
    monkeypatch.setattr(shimmy.tuning.identity, "identify", fake.identify)
    monkeypatch.setattr("shimmy.tuning.store.store_path", lambda: tmp_path / "cache")
    return fake


def test_measures_stores_and_tells(run: Run, tuner: FakeTuner) -> None:
    result = run("tune", "shimmy-mini", "--seconds", "20", "--depth", "1024")
    assert (result.exit_code, result.stderr) == (0, "")
    for words in (
        "on A fine CPU, in 41 s; depth 4096",
        "deep decode           20.0    3.1%         26.8  1.34 x  1.20 to 1.41",
        "busy (others had 30% of the cores)",
        "deep decode 1.30 x",
        "fastest: flash_attn off",
        "stored in",
    ):
        assert words in result.stdout
    ((spec, options),) = tuner.calls
    assert spec.name == "shimmy-mini"
    assert (options["seconds"], options["depth"], options["kv_types"], options["long"]) == (20.0, 1024, [], False)
    (stored,) = Store().all()
    assert stored.setup == Setup(flash_attn="off")


def test_json(run: Run, tuner: FakeTuner) -> None:
    result = run("tune", "shimmy-mini", "--json", "--kv-types", "f32, Q8_0", "--long")
    assert json.loads(result.stdout)["setup"] == {"flash_attn": "off"}
    assert tuner.calls[0][1]["kv_types"] == ["f32", "q8_0"]
    assert tuner.calls[0][1]["long"]


def test_when_nothing_is_faster(run: Run, tuner: FakeTuner) -> None:
    tuner.setup, tuner.busy = Setup(), 0.42
    result = run("tune", "shimmy-mini")
    assert "nothing is proven faster than the defaults, so they stay" in result.stdout
    assert "other processes had 42% of the CPUs" in result.stdout
    assert Store().all()[0].setup == Setup()


def test_show_and_clear(run: Run, tuner: FakeTuner) -> None:
    assert "nothing is stored; shimmy tune MODEL measures" in run("tune", "--show").stdout
    assert "nothing is stored for shimmy-mini" in run("tune", "shimmy-mini", "--show").stdout
    run("tune", "shimmy-mini")
    for arguments in (["--show"], ["shimmy-mini", "--show"]):
        shown = run("tune", *arguments).stdout
        assert "model shimmy-mini" in shown and "fastest: flash_attn off" in shown
    assert [one["depth"] for one in json.loads(run("tune", "--show", "--json").stdout)] == [4096]
    assert len(tuner.calls) == 1
    assert run("tune", "shimmy-mini", "--clear").stdout == "removed 1\n"
    assert json.loads(run("tune", "--clear", "--json").stdout) == {"removed": 0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which model?"),
        (["shimmy-mini", "--show", "--clear"], "exclude each other"),
        (["nope"], "model 'nope' not found"),
        (["shimmy-mini", "--kv-types", "q9"], "--kv-types q9"),
        (["shimmy-mini", "--seconds", "0"], "--seconds"),
    ],
)
def test_wrong_use(run: Run, tuner: FakeTuner, arguments: list[str], words: str) -> None:
    result = run("tune", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert tuner.calls == []


def test_a_model_that_cannot_be_measured(run: Run, monkeypatch: pytest.MonkeyPatch, tuner: FakeTuner) -> None:
    def fail(*_: object, **__: object) -> Winner:
        raise ModelLoadError("the tensors are missing")

    monkeypatch.setattr(shimmy.tuning.tuner, "tune", fail)
    result = run("tune", "shimmy-mini")
    assert (result.exit_code, result.stderr) == (2, "error: the tensors are missing\n")
    assert Store().all() == []
