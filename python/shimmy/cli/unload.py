"""shimmy unload: have a running server free a model."""

from __future__ import annotations

from typing import Annotated

import typer

from shimmy.cli.options import Options
from shimmy.cli.running_server import RunningServer, Url


def unload(
    options: Options,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Model, as shimmy ps names it.")],
    url: Url = None,
) -> None:
    """Unload a model from the running server, once the requests that use it have ended."""
    server = RunningServer(url, options.settings())
    typer.echo(server.post("/api/models/unload", {"model": name})["message"])
