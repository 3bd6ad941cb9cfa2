"""The command-line application: what is above the commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from shimmy.cli.bench import bench
from shimmy.cli.command import command, with_global_options
from shimmy.cli.discover import discover
from shimmy.cli.generate import generate
from shimmy.cli.gpu_info import gpu_info
from shimmy.cli.init import init
from shimmy.cli.list_models import list_models
from shimmy.cli.load import load
from shimmy.cli.options import Options
from shimmy.cli.probe import probe
from shimmy.cli.ps import ps
from shimmy.cli.pull import pull
from shimmy.cli.serve import serve
from shimmy.cli.tune import tune
from shimmy.cli.unload import unload
from shimmy.cli.version import version_text

# Typer exports only this subclass of the error that it raises for every wrong command line.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class _Commands(TyperGroup):
    """Exits with 1 when the command line itself is wrong: 2 says that a command's work failed."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().make_context(*args, **kwargs)
        except _UsageError as error:
            raise _as_usage_problem(error) from None

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            raise _as_usage_problem(error) from None


_ELSEWHERE = {("serve", "--host"): "--bind HOST:PORT", ("serve", "--port"): "--bind HOST:PORT"}
"""(command, option that it does not have) -> what says it here."""


def _as_usage_problem(error: Any) -> Any:
    error.exit_code = 1
    asked = (getattr(error.ctx, "info_name", None), getattr(error, "option_name", None))
    if asked in _ELSEWHERE:
        error.message += f": use {_ELSEWHERE[asked]}"
        error.possibilities = []
    return error


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_text())
        raise typer.Exit


def shimmy(
    options: Options,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Local language models with a native runtime of their own, and an OpenAI-compatible server."""


def _before_commands(context: typer.Context, options: Options, **_: Any) -> None:
    context.obj = options
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.callback()(with_global_options(_before_commands, shimmy))
app.command("serve")(command(serve))
app.command("list")(command(list_models))
app.command("ps")(command(ps, loads=False))
app.command("load")(command(load, loads=False))
app.command("unload")(command(unload, loads=False))
app.command("discover")(command(discover))
app.command("probe")(command(probe))
app.command("generate")(command(generate))
app.command("bench")(command(bench))
app.command("tune")(command(tune))
app.command("pull")(command(pull, loads=False))
app.command("gpu-info")(command(gpu_info))
app.command("init")(command(init, loads=False))
