"""The options that every command takes, and the settings made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from shimmy.settings import LogLevel, Settings, load_settings, split_paths


def declare(
    model_dirs: Annotated[
        str | None, typer.Option("--model-dirs", metavar="DIRS", help='Folders to search for models: "a;b".')
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Same as --log-level debug.")] = False,
) -> dict[str, Any]:
    """The global options as arguments of `load_settings`, besides those of how models are loaded; this signature is
    their one declaration.
    """
    return {
        "model_dirs": None if model_dirs is None else split_paths(model_dirs),
        "log_level": "debug" if verbose and log_level is None else log_level and log_level.lower(),
    }


def declare_loading(
    ctx: Annotated[int | None, typer.Option("--ctx", metavar="N", help="Context of a model in tokens.")] = None,
    tune: Annotated[
        str | None,
        typer.Option("--tune", metavar="WHEN", help="Measured settings: auto (if stored), on (measure if not) or off."),
    ] = None,
    chat_template: Annotated[
        str | None,
        typer.Option("--chat-template", metavar="NAME|FILE", help="Chat template instead of the model's own."),
    ] = None,
) -> dict[str, Any]:
    """As `declare`: what there is to say of loading a model, besides `declare_placement`."""
    return {
        "ctx": ctx,
        "tune": None if tune is None else tune.lower(),
        "chat_template": chat_template,
    }


class Options:
    """The global options of one invocation. `arguments` are those that were given."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = {name: value for name, value in arguments.items() if value is not None}

    def over(self, outer: Options) -> Options:
        """These options, completed by those given before the command's name."""
        return Options({**outer.arguments, **self.arguments})

    @property
    def verbose(self) -> bool:
        return self.arguments.get("log_level") == "debug"

    def load(
        self, *, log_level: LogLevel = "warning", environ: Mapping[str, str] | None = None, **arguments: Any
    ) -> Settings:
        """Settings as they are now, with the command's own `arguments`. `log_level` holds where nothing sets one;
        `environ` stands in for the process's environment.
        """
        return load_settings({**self.arguments, **arguments}, environ=environ, defaults={"log_level": log_level})

    def settings(self, *, log_level: LogLevel = "warning", **arguments: Any) -> Settings:
        """Settings of this process, with the command's own `arguments`; also sets up logging.

        `log_level` holds where nothing sets one: commands that print an answer keep quiet.
        """
        from shimmy.logs import configure_logging

        settings = self.load(log_level=log_level, **arguments)
        configure_logging(settings.log_level, settings.log_format)
        return settings
