"""shimmy probe: does a model load and answer?"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from shimmy.cli.options import Options


def probe(options: Options, name: Annotated[str, typer.Argument(help="The model's name.")]) -> None:
    """Load a model, generate one token and say how long it took. Exits with 2 when that fails."""
    from shimmy.cli.loading import loaded

    start = time.perf_counter()
    with loaded(options.settings(), name) as (_, llm):
        load_seconds = time.perf_counter() - start
        start = time.perf_counter()
        llm.generate("Hello", max_tokens=1)
        token_ms = (time.perf_counter() - start) * 1000
        info = llm.info
        devices = ", ".join(info.devices) or info.backend
    typer.echo(
        f"ok: {name} ({info.description}) on {devices}: loaded in {load_seconds:.2f} s, a token in {token_ms:.0f} ms"
    )
