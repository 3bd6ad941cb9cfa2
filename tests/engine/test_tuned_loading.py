"""Tuning with the real runtime: what is measured, stored and applied. How fast anything is, is not asked here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from arithmetic import ON_GPU

from shimmy import LLM, LoadSpec, _core, demo_model_path
from shimmy.errors import InvalidRequestError, ModelLoadError
from shimmy.machine_memory import MachineMemory
from shimmy.tuning import apply
from shimmy.tuning.apply import tuned_setup, with_setup
from shimmy.tuning.identity import identify
from shimmy.tuning.rig import PIECE, Rig, Sizes
from shimmy.tuning.search import UnmeasurableError
from shimmy.tuning.setup import Setup
from shimmy.tuning.store import Store
from shimmy.tuning.tuner import tune
from shimmy.tuning.winner import Winner
from shimmy.tuning.workload import BATCH, DECODE, DEEP_DECODE, DEEP_PREFILL, LONG_PREFILL, PREFILL

SIZES = Sizes(steps=2, prompt=64, long_prompt=256, deep_steps=2, deep_prompt=64, depth=4 * PIECE)
TUNED = Setup(use_extra_bufts=False, n_threads=1, n_threads_batch=1, n_ubatch=128, flash_attn="off")


def spec(**fields: Any) -> LoadSpec:
    context = {"n_ctx": 512, **fields.pop("context", {})}
    return LoadSpec(name="mini", path=str(demo_model_path()), context=context, tune="auto", **fields)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Where a load looks."""
    monkeypatch.setattr("shimmy.tuning.store.store_path", lambda: tmp_path / "tuning")
    return Store()


def stored(store: Store, setup: Setup = TUNED) -> Winner:
    winner = Winner(
        identity=identify(spec()),
        setup=setup,
        created="2026-11-21T10:00:00Z",
        seconds=1.0,
        depth=0,
        busy=0.0,
        speeds={},
        trials=[],
    )
    store.save(winner)
    return winner


class TestMeasuring:
    @pytest.mark.parametrize("setup", [Setup(), Setup(flash_attn="off"), Setup(type_k="q8_0", type_v="q8_0")])
    def test_every_workload_again_and_again(self, model: _core.Model, setup: Setup) -> None:
        rig = Rig(model, setup.context_options(), SIZES)
        for _ in range(2):
            for workload in (DEEP_PREFILL, DECODE, LONG_PREFILL, PREFILL, BATCH, DEEP_DECODE):
                assert rig.seconds(workload) > 0

    def test_what_does_not_run_says_why(self, model: _core.Model) -> None:
        with pytest.raises(UnmeasurableError, match="flash attention"):
            Rig(model, {"type_v": "q8_0", "flash_attn": "off"}, SIZES).seconds(DECODE)

    def test_a_search_in_little_time(self) -> None:
        told: list[float] = []
        winner = tune(spec(), seconds=1.0, depth=256, tell=lambda share, text: told.append(share))
        assert winner.identity == identify(spec())
        assert set(winner.speeds) - {LONG_PREFILL} == {DECODE, BATCH, PREFILL, DEEP_DECODE, DEEP_PREFILL}
        assert all(speed.default_rate > 0 for speed in winner.speeds.values())
        assert winner.depth == 256
        assert {trial.group for trial in winner.trials} >= ({"attention"} if ON_GPU else {"layout", "attention"})
        assert msgspec.json.decode(msgspec.json.encode(winner), type=Winner) == winner

    def test_settings_of_the_user_stay(self) -> None:
        winner = tune(spec(context={"flash_attn": "on", "n_threads": 1}), seconds=0.5, depth=0)
        assert not {trial.group for trial in winner.trials} & {"attention", "threads"}
        assert winner.setup.flash_attn is None
        assert winner.depth == 0

    def test_depth_alone(self) -> None:
        assert tune(spec(), seconds=0.5, depth=256, long=True).long
        with pytest.raises(InvalidRequestError, match="not timed at depth"):
            tune(spec(), seconds=0.5, depth=0, long=True)

    def test_a_model_that_generates_nothing(self, tmp_path: Path) -> None:
        from tiny_bert import TinyBert

        path = TinyBert().write(tmp_path / "bert.gguf")
        with pytest.raises(InvalidRequestError, match="generates no text"):
            tune(LoadSpec(name="bert", path=str(path)), seconds=0.1)


class TestIdentity:
    def test_of_a_model_not_of_its_file(self, tmp_path: Path, tiny_models: Callable[[str, int], Path]) -> None:
        copy = tmp_path / "other name.gguf"
        copy.write_bytes(demo_model_path().read_bytes())
        assert identify(LoadSpec(name="copy", path=str(copy))) == identify(spec())
        seeds = [identify(LoadSpec(name="m", path=str(tiny_models("q8_0", seed)))) for seed in (1, 2)]
        assert seeds[0] == seeds[1]
        assert seeds[0].digest != identify(LoadSpec(name="m", path=str(tiny_models("q4_k", 1)))).digest

    def test_a_file_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "x.gguf").write_bytes(b"GGUF")
        with pytest.raises(ModelLoadError):
            identify(LoadSpec(name="x", path=str(tmp_path / "x.gguf")))


class TestLoading:
    def test_what_is_stored_is_used_and_told(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        stored(store)
        with caplog.at_level(logging.INFO, "shimmy.tuning"), LLM(spec()) as llm:
            assert llm.info.tuned == {**TUNED.model_options(), **TUNED.context_options()}
            assert llm.generate("Once", max_tokens=2, temperature=0).text
        assert "mini: tuned on 2026-11-21T10:00:00Z: use_extra_bufts off, n_threads 1" in caplog.text

    def test_settings_of_the_user_win_with_their_group(self, store: Store) -> None:
        stored(store)
        asked = spec(model={"both_layouts": True}, context={"type_k": "q8_0", "n_ubatch": 64})
        setup = tuned_setup(asked)
        assert setup == Setup(n_threads=1, n_threads_batch=1)
        merged = with_setup(asked, setup)
        assert merged.model == {"both_layouts": True}
        assert merged.context == {"n_ctx": 512, "type_k": "q8_0", "n_ubatch": 64, "n_threads": 1, "n_threads_batch": 1}
        with LLM(asked) as llm:
            assert llm.info.tuned == {"n_threads": 1, "n_threads_batch": 1}

    def test_off_and_deterministic_engines_ignore_it(self, store: Store) -> None:
        stored(store)
        assert tuned_setup(msgspec.structs.replace(spec(), tune="off")) == Setup()
        assert tuned_setup(LoadSpec(name="mini", path=str(demo_model_path()))) == Setup()
        assert tuned_setup(spec(engine={"deterministic": True})) == Setup()

    def test_auto_never_measures(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(apply, "tune", lambda *_, **__: pytest.fail("it measured"))
        assert tuned_setup(spec()) == Setup()

    def test_on_measures_once(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []

        def measure(asked: LoadSpec, **_: object) -> Winner:
            calls.append(asked)
            winner = stored(store)
            store.clear()
            return winner

        monkeypatch.setattr(apply, "tune", measure)
        asked = msgspec.structs.replace(spec(), tune="on")
        assert tuned_setup(asked) == tuned_setup(asked) == TUNED
        assert calls == [asked]

    def test_a_search_or_a_store_that_fails_does_not_stop_a_load(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object, **__: object) -> Winner:
            raise UnmeasurableError("decode: a step ended with FAILED")

        monkeypatch.setattr(apply, "tune", fail)
        asked = msgspec.structs.replace(spec(), tune="on")
        assert tuned_setup(asked) == Setup()
        assert "mini: not tuned: decode: a step ended with FAILED" in caplog.text
        winner = stored(store)
        store.clear()
        store.folder.rmdir()
        store.folder.write_text("no folder")
        monkeypatch.setattr(apply, "tune", lambda *_, **__: winner)
        assert tuned_setup(asked) == TUNED
        assert "cannot be stored" in caplog.text

    def test_flash_attention_stays_where_its_absence_would_take_much_memory(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stored(store)
        monkeypatch.setattr(apply, "machine_memory", lambda: MachineMemory(available=1 << 20))
        assert tuned_setup(spec()) == TUNED.without({"flash_attn"})
        monkeypatch.setattr(apply, "machine_memory", MachineMemory)
        assert tuned_setup(spec()) == TUNED
