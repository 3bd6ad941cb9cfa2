"""What all commands have in common: the global options, and errors as one line with an exit code."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer

from shimmy.cli.options import Options, declare, declare_loading
from shimmy.cli.placement_options import declare_placement
from shimmy.errors import InvalidRequestError, ModelNotFoundError, ShimmyError
from shimmy.settings import SettingsError

WRONG_USE = 1
"""Exit code: what was asked for does not exist or makes no sense."""
FAILED = 2
"""Exit code: the work itself failed."""

_LOADING: tuple[Callable[..., dict[str, Any]], ...] = (declare_loading, declare_placement)
"""The declarations of how a model is loaded."""

_WRONG_USE_ERRORS = (SettingsError, ModelNotFoundError, InvalidRequestError)


def command(function: Callable[..., None], *, loads: bool = True) -> Callable[..., None]:
    """Make a Typer command of `function`, whose first parameter is an Options.

    The command takes the global options besides its own, also after its name, and turns errors into exit codes. One
    that `loads` no model does not show those of how models are loaded, and refuses them.
    """

    def run(context: typer.Context, options: Options, **values: Any) -> None:
        outer = context.obj
        with ExitCodes():
            merged = options.over(outer) if isinstance(outer, Options) else options
            if not loads:
                _refuse_loading(merged, str(context.info_name))
            function(merged, **values)

    return with_global_options(run, function, loads=loads)


def with_global_options(
    run: Callable[..., None], described: Callable[..., None], *, loads: bool = True
) -> Callable[..., None]:
    """A function for Typer that takes the parameters of `described` after its first, and the global options; those of
    loading show in its help if it `loads` models.

    It calls `run` with the Typer context, the Options and the values of those parameters.
    """
    loading = [parameter for declared in _LOADING for parameter in _parameters(declared)]
    shared = [*_parameters(declare), *(loading if loads else map(_hidden, loading))]
    own = _parameters(described)[1:]

    @functools.wraps(described)
    def collect(context: typer.Context, **values: Any) -> None:
        with ExitCodes():
            arguments = [_call(declared, values) for declared in (declare, *_LOADING)]
            options = Options({name: value for group in arguments for name, value in group.items()})
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


def _refuse_loading(options: Options, name: str) -> None:
    """Raises SettingsError: what is given would be dropped."""
    known = {option for declared in _LOADING for option in declared()}
    given = sorted(known & options.arguments.keys())
    if given:
        raise SettingsError(
            f"argument: {', '.join(given)}: shimmy {name} loads no model itself; give that to shimmy serve, or set it "
            "in the config file or models.toml"
        )


def _hidden(parameter: inspect.Parameter) -> inspect.Parameter:
    """The same option, which help leaves out."""
    kind, option = get_args(parameter.annotation)
    option = copy.copy(option)
    option.hidden = True
    return parameter.replace(annotation=Annotated[kind, option])


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """With real annotations. Not get_type_hints: Python 3.10 wraps options whose default is None in an Optional."""
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _call(declared: Callable[..., dict[str, Any]], values: dict[str, Any]) -> dict[str, Any]:
    """With its own of `values`, which are taken out."""
    return declared(**{parameter.name: values.pop(parameter.name) for parameter in _parameters(declared)})


def _one_line(text: str) -> str:
    return " ".join(text.split())
