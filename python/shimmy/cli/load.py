"""shimmy load: have a running server load a model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from shimmy.cli.options import Options
from shimmy.cli.running_server import RunningServer, Url


def load(
    options: Options,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Model, as shimmy list names it.")],
    url: Url = None,
    keep_alive: Annotated[
        str | None,
        typer.Option(
            "--keep-alive", metavar="TIME", help="How long it stays without use: 10m, or 600 in seconds; -1: for ever."
        ),
    ] = None,
) -> None:
    """Load a model into the running server."""
    from shimmy.cli.loading import progress_bar

    server = RunningServer(url, options.settings())
    body: dict[str, Any] = {"model": name}
    if keep_alive is not None:
        body["keep_alive"] = keep_alive
    with progress_bar(f"loading {name}") as show:
        for event, data in server.events("/api/models/load", body):
            if event == "progress" and show is not None:
                show(data["progress"])
    typer.echo(f"{name} is loaded")
