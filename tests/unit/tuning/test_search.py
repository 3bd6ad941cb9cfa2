"""The search on simulated machines: it never takes what is slower, finds what is much faster, and ends in time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_bench import SAMPLE_SECONDS, SimulatedBench

from shimmy.tuning.search import CONFIRMING, Axis, Findings, Search, UnmeasurableError, spread
from shimmy.tuning.setup import Setup

WORKLOADS = ("decode", "prefill", "deep decode")
FLASH_OFF, PLAIN, ONE_THREAD = Setup(flash_attn="off"), Setup(use_extra_bufts=False), Setup(n_threads=1)
AXES = [
    Axis("threads", {"1": ONE_THREAD}, ("decode", "prefill"), needs_quiet=True),
    Axis("layout", {"as in the file": PLAIN}, ("decode", "prefill")),
    Axis("attention", {"flash attention off": FLASH_OFF}, ("deep decode",)),
]

Effects = dict[str, dict[str, float]]
"""Field of a setup that is set -> workload -> how many times as fast it makes that."""


def searched(effects: Effects, *, seconds: float = 60.0, **bench: object) -> tuple[Findings, SimulatedBench]:
    simulated = SimulatedBench(lambda setup, workload: speed(effects, setup, workload), **bench)  # type: ignore[arg-type]
    return Search(simulated, WORKLOADS, seconds).run(AXES), simulated


def speed(effects: Effects, setup: Setup, workload: str) -> float:
    product = 1.0
    for field in ("flash_attn", "use_extra_bufts", "n_threads"):
        if getattr(setup, field) is not None:
            product *= effects.get(field, {}).get(workload, 1.0)
    return product


EFFECT = st.dictionaries(st.sampled_from(WORKLOADS), st.floats(0.4, 2.5))
EFFECTS = st.fixed_dictionaries({"flash_attn": EFFECT, "use_extra_bufts": EFFECT, "n_threads": EFFECT})


@given(EFFECTS, st.floats(0.0, 0.1), st.sampled_from([0.0, 0.2]), st.integers(0, 2**32))
@settings(derandomize=True, max_examples=300)
def test_what_is_chosen_is_never_slower(effects: Effects, noise: float, bursts: float, seed: int) -> None:
    """Up to what noise hides: four rounds that agree by chance, twice."""
    findings, _ = searched(effects, noise=noise, bursts=bursts, seed=seed)
    for workload in WORKLOADS:
        assert speed(effects, findings.best, workload) > 1 - 0.05 - 2 * noise


@given(EFFECTS, st.floats(0.0, 0.3), st.floats(0.5, 100.0), st.integers(0, 2**32))
@settings(derandomize=True)
def test_it_ends_in_time(effects: Effects, noise: float, seconds: float, seed: int) -> None:
    _, bench = searched(effects, noise=noise, seconds=seconds, seed=seed)
    round_seconds = 2 * len(WORKLOADS) * SAMPLE_SECONDS / 0.4**3 * 3
    first = 2 * len(WORKLOADS) * SAMPLE_SECONDS * 3
    assert bench.clock() < (1 + CONFIRMING) * seconds + first + round_seconds


@given(EFFECTS)
@settings(derandomize=True)
def test_without_noise_every_clear_gain_that_costs_nothing_is_found(effects: Effects) -> None:
    findings, _ = searched(effects, seconds=1000.0)
    for field, axis in zip(("n_threads", "use_extra_bufts", "flash_attn"), AXES, strict=True):
        effect = effects[field]
        free = all(effect.get(name, 1.0) >= 1.0 for name in WORKLOADS)
        if free and all(effect.get(name, 1.0) > 1.07 for name in axis.workloads):
            others = [effects[name] for name in effects if name != field]
            if not any(one.get(name, 1.0) < 1.0 for one in others for name in WORKLOADS):
                assert getattr(findings.best, field) is not None


def test_no_difference_stays_the_default() -> None:
    taken = sum(searched({}, noise=0.1, seed=seed)[0].best != Setup() for seed in range(300))
    assert taken <= 6


def test_a_gain_beyond_the_noise_is_found() -> None:
    effects = {"flash_attn": {"deep decode": 1.35}}
    found = [searched(effects, noise=0.06, seed=seed)[0].best for seed in range(100)]
    assert found.count(FLASH_OFF) >= 90


def test_bursts_hide_little_and_invent_nothing() -> None:
    effects = {"use_extra_bufts": {"decode": 1.6, "prefill": 1.6}}
    found = [searched(effects, noise=0.03, bursts=0.3, seed=seed)[0].best for seed in range(100)]
    assert found.count(PLAIN) >= 50
    assert found.count(PLAIN) + found.count(Setup()) >= 98


def test_a_trade_between_workloads_is_refused() -> None:
    findings, _ = searched({"use_extra_bufts": {"decode": 0.7, "prefill": 3.0}})
    (layout,) = (trial for trial in findings.trials if trial.group == "layout")
    assert (layout.outcome, layout.reason) == ("mixed", "slower: decode")
    assert findings.best == Setup()


def test_a_loss_that_only_the_whole_shows_is_refused_at_the_end() -> None:
    findings, _ = searched({"flash_attn": {"deep decode": 1.5, "prefill": 0.8}})
    assert [trial.outcome for trial in findings.trials[-2:]] == ["better", "mixed"]
    assert findings.trials[-1].reason == "slower: prefill"
    assert findings.best == Setup()


def test_what_may_lose_is_timed_and_decides_nothing() -> None:
    effects = {"flash_attn": {"deep decode": 1.5, "prefill": 0.8}, "use_extra_bufts": {"decode": 2.0, "prefill": 2.0}}
    bench = SimulatedBench(lambda setup, workload: speed(effects, setup, workload))
    findings = Search(bench, WORKLOADS, 60.0, may_lose=("decode", "prefill")).run(AXES)
    assert findings.best == FLASH_OFF
    assert findings.trials[-1].gains["prefill"].median == pytest.approx(0.8)
    (layout,) = (trial for trial in findings.trials if trial.group == "layout")
    assert layout.outcome == "impossible"


def test_gains_add_up_and_the_last_duel_is_with_the_defaults() -> None:
    effects = {"flash_attn": {"deep decode": 1.5}, "use_extra_bufts": {"decode": 1.2, "prefill": 1.2}}
    findings, bench = searched(effects)
    assert findings.best == Setup(flash_attn="off", use_extra_bufts=False)
    whole = findings.trials[-1]
    assert (whole.group, whole.name) == ("all", "use_extra_bufts off, flash_attn off")
    assert {name: gain.median for name, gain in whole.gains.items()} == pytest.approx(
        {"decode": 1.2, "prefill": 1.2, "deep decode": 1.5}
    )
    assert {setup for setup, _ in bench.timed[-24:]} == {Setup(), findings.best}


def test_threads_are_not_chosen_while_others_are_busy() -> None:
    effects = {"n_threads": {"decode": 1.5, "prefill": 1.5}}
    quiet, _ = searched(effects)
    assert quiet.best == ONE_THREAD
    busy, _ = searched(effects, bursts=0.95, seed=3)
    assert busy.busy > 0.3
    assert busy.best == Setup()
    assert busy.trials[0].outcome == "busy"
    assert "of the cores" in busy.trials[0].reason


def test_threads_have_to_gain_more_than_others() -> None:
    assert searched({"n_threads": {"decode": 1.05, "prefill": 1.05}})[0].best == Setup()
    assert searched({"n_threads": {"decode": 1.08, "prefill": 1.08}})[0].best == ONE_THREAD


def test_what_does_not_run_is_passed_over() -> None:
    effects = {"flash_attn": {"deep decode": 1.5}}
    findings, _ = searched(effects, broken=lambda setup: setup.use_extra_bufts is False)
    (layout,) = (trial for trial in findings.trials if trial.group == "layout")
    assert (layout.outcome, layout.reason) == ("impossible", "it does not run")
    assert findings.best == FLASH_OFF


def test_defaults_that_do_not_run_are_an_error() -> None:
    with pytest.raises(UnmeasurableError, match="it does not run"):
        searched({}, broken=lambda setup: True)


def test_workloads_that_cannot_be_timed_are_left_out() -> None:
    bench = SimulatedBench(lambda setup, workload: 1.0)
    findings = Search(bench, ["decode", "prefill"], 60.0).run(AXES)
    assert findings.trials[-1].outcome == "impossible"
    assert set(findings.samples) == {"decode", "prefill"}


def test_extras_are_timed_for_their_axis_only() -> None:
    axis = Axis("micro-batch", {"256 tokens": Setup(n_ubatch=256)}, ("long prefill",))
    bench = SimulatedBench(lambda setup, workload: 1.2 if setup.n_ubatch and workload == "long prefill" else 1.0)
    findings = Search(bench, WORKLOADS, 60.0, extras=("long prefill",)).run([*AXES, axis])
    assert findings.best == Setup(n_ubatch=256)
    assert set(findings.trials[-1].gains) == {*WORKLOADS, "long prefill"}
    bench = SimulatedBench(lambda setup, workload: 1.0)
    assert set(Search(bench, WORKLOADS, 60.0, extras=("long prefill",)).run(AXES).samples) == set(WORKLOADS)


def test_without_time_nothing_is_tried() -> None:
    findings, bench = searched({"flash_attn": {"deep decode": 3.0}}, seconds=2.0)
    assert {trial.outcome for trial in findings.trials} == {"no time"}
    assert {setup for setup, _ in bench.timed} == {Setup()}
    assert findings.samples["decode"] == pytest.approx([SAMPLE_SECONDS] * 2)


def test_progress_grows_and_says_what_is_tried() -> None:
    told: list[tuple[float, str]] = []
    bench = SimulatedBench(lambda setup, workload: speed({"flash_attn": {"deep decode": 1.5}}, setup, workload))
    Search(bench, WORKLOADS, 60.0, lambda share, text: told.append((share, text))).run(AXES)
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    assert "attention: flash attention off, round 1" in [text for _, text in told]


def test_spread() -> None:
    assert spread([]) == 0
    assert spread([2.0, 2.0]) == 0
    assert spread([1.0, 2.0, 2.2]) == pytest.approx(0.1)
