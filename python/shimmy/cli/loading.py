"""Loading a model in this process, with a progress bar when someone watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shimmy.cli.hardware import inspect_hardware, needs_check, with_backend, without_extension
from shimmy.models.entry import ModelEntry
from shimmy.models.registry import Registry
from shimmy.settings import Settings

if TYPE_CHECKING:
    from shimmy import LLM


@contextmanager
def loaded(settings: Settings, name: str) -> Iterator[tuple[ModelEntry, LLM]]:
    """The model called `name`, loaded for the length of the block.

    Raises ModelNotFoundError, SettingsError (backend), ModelLoadError.
    """
    if needs_check(settings):
        settings = with_backend(settings, inspect_hardware(settings.rpc or ()))
    entry = Registry(settings).get(name)
    spec = entry.load_spec()
    try:
        from shimmy import LLM
    except ImportError as error:
        raise without_extension(error) from error
    with progress_bar(f"loading {name}") as progress:
        llm = LLM(spec, progress=progress)
    with llm:
        yield entry, llm


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[..., None] | None]:
    """A function that takes the share done, 0 to 1, and what is being done if that is told; None when stderr is no
    terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)

        def tell(share: float, doing: str = "") -> None:
            bar.update(task, completed=share, description=f"{title}: {doing}" if doing else title)

        yield tell
