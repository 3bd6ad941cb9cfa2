"""Throughput against concurrency, drawn from the table "One H200" of this folder's README: one panel for each model.

python bench/plot_streams.py bench/h200.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no display is needed to write files

from matplotlib import pyplot as plt

from plots import COLOURS

README = Path(__file__).with_name("README.md")
HEAD = "| model | streams | roof |"
SERIES = 5
"""Columns of tokens per second behind the number of streams."""


def read_table(text: str) -> tuple[list[str], dict[str, list[list[float]]]]:
    """The names of the series, and for each model its rows: streams and tokens per second. ValueError: no table."""
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith(HEAD)), None)
    if start is None:
        raise ValueError(f"no table begins with {HEAD}")
    names = _cells(lines[start])[2 : 2 + SERIES]
    models: dict[str, list[list[float]]] = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        model, *values = _cells(line)
        rows = models.setdefault(model, []) if model else models[list(models)[-1]]
        rows.append([float(value.replace(",", "")) for value in values[: 1 + SERIES]])
    return names, models


def _cells(line: str) -> list[str]:
    return [cell.replace("`", "").strip(" *") for cell in line.strip().strip("|").split("|")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    names, models = read_table(README.read_text())
    figure, axes = plt.subplots(1, len(models), figsize=(4.2 * len(models), 3.2), squeeze=False)
    for axis, (model, rows) in zip(axes.flat, models.items(), strict=True):
        streams = [row[0] for row in rows]
        for place, name in enumerate(names):
            style = "--" if name == "roof" else "-"
            axis.plot(streams, [row[1 + place] for row in rows], style, marker="o", color=COLOURS[place], label=name)
        axis.set_title(model, fontsize=10)
        axis.set_xlabel("streams", fontsize=9)
        axis.set_xscale("log", base=2)
        axis.set_xticks(streams, [f"{count:g}" for count in streams])
        axis.set_ylim(0)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
    axes[0][0].set_ylabel("tokens per second", fontsize=9)
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(options.out, dpi=90)


if __name__ == "__main__":
    main()
