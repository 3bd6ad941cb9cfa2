"""Comparisons as tables: for a terminal (rich) and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from ratios import Estimate, estimate, paired_ratios
from rounds import Comparison
from workloads.workload import Metric, Workload

HEADER = ("metric", "contender", "median [95 %]", "ratio [95 %]", "limit", "of limit")
ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Row:
    """One contender's line of a metric."""

    metric: str
    """With its unit and an arrow to where better is; empty on all but the metric's first line."""
    contender: str
    value: Estimate | None
    ratio: Estimate | None
    """The subject's value divided by this contender's, over the rounds of both; None for the subject itself."""
    limit: float | None

    def cells(self) -> tuple[str, ...]:
        share = ""
        if self.limit and self.value is not None:
            share = f"{100 * self.value.median / self.limit:.0f} %"
        limit = "" if self.limit is None else number(self.limit)
        return (self.metric, self.contender, shown(self.value), shown(self.ratio, 3), limit, share)


def number(value: float, digits: int = 4) -> str:
    """`digits` significant ones, never in powers of ten."""
    if value == 0:
        return "0"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:,.{max(0, digits - max(whole, 1))}f}"


def shown(value: Estimate | None, digits: int = 4) -> str:
    if value is None:
        return ""
    if value.low is None or value.high is None:
        return number(value.median, digits)
    return f"{number(value.median, digits)} [{number(value.low, digits)}, {number(value.high, digits)}]"


def rows(workload: Workload, comparison: Comparison) -> list[Row]:
    """Metric by metric, the subject first; contenders without a single value of a metric are left out of it."""
    names = sorted(comparison.outcomes, key=lambda name: (name != workload.subject, workload.contenders.index(name)))
    found = []
    for metric, kind in workload.metrics.items():
        head = label(metric, kind)
        for name in names:
            values = comparison.values(name, metric)
            value = estimate([one for one in values if one is not None])
            if value is None:
                continue
            ratios = paired_ratios(comparison.values(workload.subject, metric), values)
            ratio = None if name == workload.subject else estimate(ratios)
            found.append(Row(head, name, value, ratio, comparison.limits.get(metric)))
            head = ""
    peaks = {name: [outcome.peak_mib for outcome in comparison.outcomes[name]] for name in names}
    head = label("peak memory", Metric("MiB", "lower"))
    for name, peak in peaks.items():
        value = estimate([one for one in peak if one is not None])
        if value is not None and "peak" not in workload.metrics:
            ratio = None if name == workload.subject else estimate(paired_ratios(peaks.get(workload.subject, []), peak))
            found.append(Row(head, name, value, ratio, None))
            head = ""
    return found


def differences(workload: Workload, comparison: Comparison) -> list[str]:
    """What each contender takes more than the workload's baseline, where it has one."""
    baseline = getattr(workload, "baseline", None)
    if baseline is None or baseline not in comparison.outcomes:
        return []
    lines = []
    for metric, kind in workload.metrics.items():
        below = comparison.values(baseline, metric)
        for name in comparison.outcomes:
            pairs = zip(comparison.values(name, metric), below, strict=False)
            value = estimate([one - base for one, base in pairs if one is not None and base is not None])
            if name != baseline and value is not None:
                lines.append(f"{metric}, {name} over {baseline}: {shown(value)} {kind.unit}")
    return lines


def label(metric: str, kind: Metric) -> str:
    return f"{metric}, {kind.unit} {ARROWS[kind.better]}"


def title(workload: Workload, comparison: Comparison) -> str:
    rounds = f"{comparison.rounds} round{'s' if comparison.rounds != 1 else ''}"
    return f"{workload.id} {workload.title}: {comparison.model}, {rounds}, ratio = {workload.subject} / contender"


def notes(workload: Workload, comparison: Comparison) -> list[str]:
    """Differences, who was left out and why, and what went wrong."""
    lines = differences(workload, comparison)
    lines += [f"{name} left out: {reason}" for name, reason in comparison.skipped.items()]
    for name, errors in comparison.errors().items():
        lines.append(f"{name} failed in {len(errors)} of {comparison.rounds} rounds, the last time with: {errors[-1]}")
    return lines


def terminal_table(workload: Workload, comparison: Comparison) -> Table:
    table = Table(title=title(workload, comparison), title_justify="left", caption_justify="left")
    for name in HEADER:
        table.add_column(name, justify="left" if name in HEADER[:2] else "right", overflow="fold")
    for row in rows(workload, comparison):
        if row.metric:
            table.add_section()
        table.add_row(*row.cells())
    return table


def markdown_table(workload: Workload, comparison: Comparison) -> str:
    lines = [f"### {title(workload, comparison)}", "", _line(HEADER), "|" + "---|" * len(HEADER)]
    lines += [_line(row.cells()) for row in rows(workload, comparison)]
    remarks = notes(workload, comparison)
    return "\n".join([*lines, "", *(f"- {remark}" for remark in remarks), *([""] if remarks else [])])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
