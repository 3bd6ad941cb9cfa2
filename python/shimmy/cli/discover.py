"""shimmy discover: the model files on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shimmy.cli.options import Options

if TYPE_CHECKING:
    from shimmy.discovery.local_model import LocalModel


def _template_note(model: LocalModel) -> str:
    """Why Ollama's own template is not the one that is used."""
    used = "the file's own" if model.has_chat_template else "that of its family"
    return f"Ollama's template is in Go's language, not Jinja; {used} is used"


def discover(
    options: Options,
    llm_only: Annotated[bool, typer.Option("--llm-only", help="Only models that generate text.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search the folders for model files and say what each is; with -v also where, and what was skipped."""
    from shimmy.discovery.classify import GENERATIVE
    from shimmy.models.registry import Registry

    registry = Registry(options.settings())
    found = [model for model in registry.found if not llm_only or model.kind in GENERATIVE]
    if as_json:
        import msgspec

        listing = {"models": found, "problems": registry.problems}
        typer.echo(msgspec.json.format(msgspec.json.encode(listing, enc_hook=str)).decode())
        return
    from shimmy.byte_size import size_text
    from shimmy.cli.table import print_table

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
        for folder in dict.fromkeys(root.path.absolute() for root in registry.roots):
            typer.echo(f"{'searched' if folder.is_dir() else 'no folder at'} {folder}", err=True)
        for model in found:
            if model.ollama is not None and model.ollama.template is not None:
                typer.echo(f"{model.name}: {_template_note(model)}", err=True)
        for problem in problems:
            typer.echo(f"skipped {problem.path}: {problem.message}", err=True)
    elif problems:
        typer.echo(f"{len(problems)} skipped; -v says why", err=True)
