"""shimmy discover: the model files on disk."""

from __future__ import annotations

from typing import Annotated

import typer

from shimmy.cli.options import Options


def discover(
    options: Options,
    llm_only: Annotated[bool, typer.Option("--llm-only", help="Only models that generate text.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search the folders for model files and say what each is; with -v also what was skipped."""
    from shimmy.discovery.classify import GENERATIVE
    from shimmy.models.registry import Registry

    registry = Registry(options.settings())
    found = [model for model in registry.found if not llm_only or model.kind in GENERATIVE]
    if as_json:
        import msgspec

        listing = {"models": found, "problems": registry.problems}
        typer.echo(msgspec.json.format(msgspec.json.encode(listing, enc_hook=str)).decode())
        return
    from shimmy.cli.table import print_table, size_text

    rows = [
        (
            model.name,
            model.kind,
            model.architecture or "-",
            size_text(model.size_bytes),
            model.size_label,
            model.quantization or "-",
            str(model.path),
        )
        for model in found
    ]
    if rows:
        print_table(("NAME", "KIND", "ARCHITECTURE", ">SIZE", ">PARAMS", "QUANT", "FILE"), rows)
    else:
        typer.echo("no model files found; name folders with --model-dirs or SHIMMY_MODEL_PATHS", err=True)
    problems = registry.problems
    if options.verbose:
        for problem in problems:
            typer.echo(f"skipped {problem.path}: {problem.message}", err=True)
    elif problems:
        typer.echo(f"{len(problems)} skipped; -v says why", err=True)
