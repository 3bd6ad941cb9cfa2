"""shimmy list: the models that can be asked for."""

from __future__ import annotations

from typing import Annotated

import typer

from shimmy.cli.options import Options


def list_models(
    options: Options, short: Annotated[bool, typer.Option("--short", help="Print the names only.")] = False
) -> None:
    """List the models that generate text."""
    from shimmy.models.registry import Registry

    registry = Registry(options.settings())
    names = registry.names()
    if short:
        for name in names:
            typer.echo(name)
        return
    from shimmy.byte_size import size_text
    from shimmy.cli.table import print_table

    rows = []
    for name in names:
        entry = registry.get(name)
        rows.append(
            (
                name,
                size_text(entry.size_bytes),
                entry.model.size_label,
                entry.model.quantization or "-",
                str(entry.model.n_ctx_train or "-"),
                entry.kind,
                ", ".join(entry.adapters) or "-",
                entry.source,
            )
        )
    print_table(("NAME", ">SIZE", ">PARAMS", "QUANT", ">CONTEXT", "KIND", "ADAPTERS", "SOURCE"), rows)
    if registry.problems:
        typer.echo(f"{len(registry.problems)} files or folders were skipped; shimmy discover -v says why", err=True)
