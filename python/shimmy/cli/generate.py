"""shimmy generate: one answer of one model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from shimmy.cli.options import Options
from shimmy.errors import InvalidRequestError, ModelNotFoundError


def generate(
    options: Options,
    name: Annotated[str, typer.Argument(help="The model's name.")],
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What to ask; - reads it from stdin.")],
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Most tokens to generate.")] = 64,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it comes.")] = False,
    system: Annotated[str | None, typer.Option("--system", help="System message.")] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option("--lora", metavar="NAME[=SCALE]", help="Apply a LoRA adapter of the model; may be repeated."),
    ] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="0 is greedy.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Makes sampling repeatable.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the prompt as it is, without a chat template.")] = False,
) -> None:
    """Generate an answer to a prompt."""
    from shimmy.cli.loading import loaded
    from shimmy.request import ChatPrompt
    from shimmy.server.schemas.native import NATIVE_DEFAULTS

    if raw and system is not None:
        raise InvalidRequestError("--system needs a chat template and --raw turns it off", param="system")
    text = sys.stdin.read() if prompt == "-" else prompt
    messages = [{"role": "system", "content": system}] if system is not None else []
    messages.append({"role": "user", "content": text})
    scales = _scales(lora or [])
    given = {"temperature": temperature, "seed": seed}
    with loaded(options.settings(), name) as (entry, llm):
        _check_adapters(scales, name, entry.adapters)
        said = {field: item for field, item in given.items() if item is not None}
        sampling: dict[str, Any] = {**NATIVE_DEFAULTS, **entry.defaults.sampling, **said}
        outputs = llm.stream(
            text if raw else entry.defaults.conversation(ChatPrompt(messages=messages)),
            max_tokens=max_tokens,
            stop=entry.defaults.stop,
            lora=entry.defaults.adapters(scales),
            **sampling,
        )
        pieces = []
        for output in outputs:
            if output.reasoning and options.verbose:
                typer.echo(output.reasoning, nl=False, err=True)
            if stream:
                typer.echo(output.text, nl=False)
            pieces.append(output.text)
        typer.echo("" if stream else "".join(pieces))


def _scales(arguments: list[str]) -> dict[str, float]:
    scales = {}
    for argument in arguments:
        adapter, equals, scale = argument.partition("=")
        try:
            scales[adapter] = float(scale) if equals else 1.0
        except ValueError:
            raise InvalidRequestError(f"--lora {argument}: {scale!r} is not a number", param="lora") from None
    return scales


def _check_adapters(scales: Mapping[str, float], model: str, adapters: Mapping[str, Path]) -> None:
    for adapter in scales:
        if adapter not in adapters:
            known = f"it has {', '.join(adapters)}" if adapters else "it has none"
            raise ModelNotFoundError(f"model {model!r} has no LoRA adapter called {adapter!r}; {known}")
