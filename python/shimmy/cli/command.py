"""What all commands have in common: the global options, and errors as one line with an exit code."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import typer

from shimmy.cli.options import Options, declare
from shimmy.cli.placement_options import declare_placement
from shimmy.errors import InvalidRequestError, ModelNotFoundError, ShimmyError
from shimmy.settings import SettingsError

WRONG_USE = 1
"""Exit code: what was asked for does not exist or makes no sense."""
FAILED = 2
"""Exit code: the work itself failed."""

_WRONG_USE_ERRORS = (SettingsError, ModelNotFoundError, InvalidRequestError)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a Typer command of `function`, whose first parameter is an Options.

    The command takes the global options besides its own, also after its name, and turns errors into exit codes.
    """

    def run(context: typer.Context, options: Options, **values: Any) -> None:
        outer = context.obj
        with ExitCodes():
            function(options.over(outer) if isinstance(outer, Options) else options, **values)

    return with_global_options(run, function)


def with_global_options(run: Callable[..., None], described: Callable[..., None]) -> Callable[..., None]:
    """A function for Typer that takes the parameters of `described` after its first, and the global options.

    It calls `run` with the Typer context, the Options and the values of those parameters.
    """
    shared = [*_parameters(declare), *_parameters(declare_placement)]
    own = _parameters(described)[1:]

    @functools.wraps(described)
    def collect(context: typer.Context, **values: Any) -> None:
        with ExitCodes():
            options = Options({**_call(declare, values), **_call(declare_placement, values)})
        run(context, options, **values)

    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *own, *shared]
    described_as: Any = collect
    described_as.__signature__ = inspect.Signature(
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    described_as.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del described_as.__wrapped__
    return collect


class ExitCodes:
    """Turns shimmy's errors inside the block into a line on stderr and an exit code."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (ShimmyError, OSError)) and not isinstance(error, BrokenPipeError):
            typer.echo(f"error: {_one_line(str(error))}", err=True)
            raise typer.Exit(WRONG_USE if isinstance(error, _WRONG_USE_ERRORS) else FAILED) from error


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """With real annotations. Not get_type_hints: Python 3.10 wraps options whose default is None in an Optional."""
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _call(declared: Callable[..., dict[str, Any]], values: dict[str, Any]) -> dict[str, Any]:
    """With its own of `values`, which are taken out."""
    return declared(**{parameter.name: values.pop(parameter.name) for parameter in _parameters(declared)})


def _one_line(text: str) -> str:
    return " ".join(text.split())
