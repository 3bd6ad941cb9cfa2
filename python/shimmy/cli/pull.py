"""shimmy pull: download a model."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shimmy.cli.options import Options

if TYPE_CHECKING:
    from shimmy.library.pull import Progress


def pull(
    options: Options,
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="owner/repo[:QUANT] of Hugging Face, or name[:tag] of an Ollama registry."),
    ],
) -> None:
    """Download a model into the library; what an earlier try left is taken up."""
    from shimmy.library.pull import Puller
    from shimmy.models.registry import Registry

    settings = options.settings()
    registry = Registry(settings)
    registry.check_free(name.removeprefix("https://"))
    library = registry.library
    with _Display() as display:
        record = Puller(library, settings.registry_url).pull(name, display.show, threading.Event())
    typer.echo(f"{record.name} is in {library.folder}; a server that runs finds it with POST /api/models/discover")


class _Display:
    """On a terminal a bar for each file, elsewhere a line for each step."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._bar: Any = None
        self._status = ""

    def __enter__(self) -> _Display:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.progress import TransferSpeedColumn as SpeedColumn

            columns = [TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), SpeedColumn()]
            self._bars = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, progress: Progress) -> None:
        if progress.status != self._status:
            self._status, self._bar = progress.status, None
            if self._bars is None or progress.total is None:
                typer.echo(progress.status, err=True)
        if self._bars is None or progress.total is None:
            return
        if self._bar is None:
            self._bar = self._bars.add_task(progress.status, total=progress.total)
        self._bars.update(self._bar, completed=progress.completed)
