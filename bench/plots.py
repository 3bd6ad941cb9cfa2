"""A comparison as pictures: the values of each round, and the ratios."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display is needed to write files

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ratios import Estimate, estimate
from rounds import Comparison
from table import Row, label, rows, title
from workloads.workload import Metric, Workload

COLUMNS = 3
# Okabe and Ito's palette, told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#555555")


def plot_workload(workload: Workload, comparison: Comparison, path: Path) -> bool:
    """One panel per metric: a dot for each round, a line with ends for the median and its interval, the limit dashed.

    False, and no file, when there are no values.
    """
    names = sorted(comparison.outcomes, key=lambda name: (name != workload.subject, workload.contenders.index(name)))
    panels = [
        (metric, kind)
        for metric, kind in workload.metrics.items()
        if any(value is not None for name in names for value in comparison.values(name, metric))
    ]
    if not panels:
        return False
    columns = min(COLUMNS, len(panels))
    height = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        height,
        columns,
        figsize=(1.8 + 4.2 * columns, 1 + height * (0.9 + 0.36 * len(names))),
        squeeze=False,
        sharey=True,
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (metric, kind) in zip(axes.flat, panels, strict=False):
        _draw_metric(axis, comparison, names, metric, kind)
    figure.suptitle(title(workload, comparison).partition(", ratio")[0], fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True


def _draw_metric(axis: Axes, comparison: Comparison, names: Sequence[str], metric: str, kind: Metric) -> None:
    for place, name in enumerate(names):
        values = [value for value in comparison.values(name, metric) if value is not None]
        colour = COLOURS[place % len(COLOURS)]
        axis.plot(values, [place] * len(values), "o", color=colour, alpha=0.45, markersize=5)
        _draw_estimate(axis, estimate(values), place, colour)
    limit = comparison.limits.get(metric)
    values = [value for name in names for value in comparison.values(name, metric) if value is not None]
    # A limit far away would press the values together; its number is in the title either way.
    text = label(metric, kind)
    if limit is not None:
        text += f", limit {limit:,.4g}"
        if limit <= 2.5 * max(values):
            axis.axvline(limit, linestyle="--", color="#888888", linewidth=1)
    axis.set_title(text, fontsize=9)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, 1.06 * axis.get_xlim()[1])
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", alpha=0.3)


def _draw_estimate(axis: Axes, value: Estimate | None, place: int, colour: str) -> None:
    if value is None:
        return
    axis.plot([value.median] * 2, [place - 0.28, place + 0.28], color=colour, linewidth=2.5)
    if value.low is not None and value.high is not None:
        axis.plot([value.low, value.high], [place] * 2, color=colour, linewidth=1.5)


def plot_ratios(workload: Workload, comparison: Comparison, path: Path) -> bool:
    """The ratios with their intervals, turned so that right of 1 is better for us. False when there are none."""
    lines: list[tuple[str, Row, bool]] = []
    metric = ""
    kinds = {label(name, kind): kind for name, kind in workload.metrics.items()}
    for row in rows(workload, comparison):
        metric = row.metric or metric
        kind = kinds.get(metric)
        if row.ratio is not None and row.ratio.median > 0 and kind is not None:
            lines.append((f"{metric[:-2]} | {row.contender}", row, kind.better == "lower"))
    if not lines:
        return False
    figure, axis = plt.subplots(figsize=(10, 1.2 + 0.24 * len(lines)))
    for place, (_, row, inverted) in enumerate(lines):
        ratio = row.ratio
        if ratio is None:
            continue
        ends = [ratio.median if end is None else end for end in (ratio.low, ratio.high)]
        middle = ratio.median
        if inverted:
            middle, ends = 1 / middle, [1 / max(end, 1e-9) for end in reversed(ends)]
        known = ratio.low is not None  # of one round nothing can be said
        colour = COLOURS[2] if known and ends[0] > 1 else COLOURS[4] if known and ends[1] < 1 else COLOURS[7]
        axis.plot(ends, [place] * 2, color=colour, linewidth=1.5)
        axis.plot([middle], [place], "o", color=colour, markersize=5)
    axis.axvline(1, color="#444444", linewidth=1)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    few = max(axis.get_xlim()) / max(min(axis.get_xlim()), 1e-9) < 1000
    axis.xaxis.set_minor_formatter(lambda value, _: f"{value:g}×" if few and f"{value:e}"[0] in "25" else "")
    axis.set_yticks(range(len(lines)), [text for text, _, _ in lines], fontsize=8)
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.tick_params(axis="x", which="both", labelsize=8)
    axis.grid(axis="x", alpha=0.3, which="both")
    figure.suptitle(title(workload, comparison).partition(", ratio")[0], fontsize=10)
    axis.set_title("times better than the contender; median, 95 %; grey: undecided", fontsize=9, loc="left")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True
