"""shimmy serve: the HTTP server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shimmy import __version__
from shimmy.cli.options import Options
from shimmy.settings import byte_count

if TYPE_CHECKING:
    from shimmy.model_info import DeviceUse, ModelInfo
    from shimmy.models.registry import Registry
    from shimmy.server.serve import Started
    from shimmy.settings import Settings


def serve(
    options: Options,
    bind: Annotated[
        str | None,
        typer.Option(
            "--bind",
            metavar="HOST:PORT",
            help="Address to listen on; auto is 127.0.0.1:11435 or the first free port after it.  [default: auto]",
        ),
    ] = None,
    model_path: Annotated[
        Path | None,
        typer.Option("--model-path", metavar="FILE", help="GGUF model to serve first, under its file's stem."),
    ] = None,
    keep_alive: Annotated[
        str | None,
        typer.Option(
            "--keep-alive",
            metavar="TIME",
            help="How long a model stays loaded without use: 10m, or 600 in seconds; -1: for ever.  [default: 5m]",
        ),
    ] = None,
    memory_budget: Annotated[
        str | None,
        typer.Option(
            "--memory-budget",
            metavar="SIZE",
            help="Most memory of all loaded models, as 8GiB.  [default: what there is, less a tenth]",
        ),
    ] = None,
    vram_budget: Annotated[
        str | None,
        typer.Option(
            "--vram-budget",
            metavar="SIZE",
            help="Most memory of GPUs for all loaded models, as 8GiB.  [default: what there is, less a twentieth]",
        ),
    ] = None,
    preload: Annotated[
        int | None,
        typer.Option("--preload", metavar="N", help="Load the N models used last at the start.  [default: 0]"),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow models that come and go on disk; needs the extra watch.")
    ] = False,
    kv_cache_disk: Annotated[
        str | None,
        typer.Option(
            "--kv-cache-disk",
            metavar="BYTES",
            help="Disk for what prompts have in common, such as 8GiB, so that no start computes it again; 0: none.  "
            "[default: a tenth of what is free, at most 4GiB]",
        ),
    ] = None,
    kv_cache_dir: Annotated[
        Path | None, typer.Option("--kv-cache-dir", metavar="DIR", help="Where that is kept.")
    ] = None,
) -> None:
    """Serve the models over HTTP until SIGINT or SIGTERM."""
    from shimmy.cli.hardware import inspect_in_child, needs_check, with_backend
    from shimmy.models.registry import Registry
    from shimmy.server.serve import serve as run_server

    def checked(settings: Settings) -> Settings:
        return with_backend(settings, inspect_in_child(settings.rpc or ())) if needs_check(settings) else settings

    own: dict[str, Any] = {
        "log_level": "info",
        "bind": bind,
        "model_path": model_path,
        "keep_alive": keep_alive,
        "memory_budget": memory_budget,
        "vram_budget": vram_budget,
        "preload": preload,
        "watch": watch or None,
        "kv_cache_disk": None if kv_cache_disk is None else byte_count(kv_cache_disk),
        "kv_cache_dir": kv_cache_dir,
    }
    environ = dict(os.environ)  # as it was given: we write into our own
    settings = checked(options.settings(**own))
    registry = Registry(settings)
    if registry.problems:
        typer.echo(f"{len(registry.problems)} files or folders were skipped; shimmy discover -v says why", err=True)
    obvious = _obvious_model(registry)
    # The processes that run models read it.
    os.environ["SHIMMY_LOG_LEVEL"] = settings.log_level

    def banner(started: Started) -> None:
        typer.echo(banner_text(started, registry.names()))

    run_server(
        settings, registry, preload=obvious, banner=banner, load=lambda: checked(options.load(environ=environ, **own))
    )


def _obvious_model(registry: Registry) -> str | None:
    """The model to load at once: the one given, or the only one."""
    names = registry.names()
    if names and (len(names) == 1 or registry.get(names[0]).source == "registered"):
        return names[0]
    return None


def banner_text(started: Started, names: list[str]) -> str:
    """What the server says when it is ready: address, models, device."""
    lines = [f"shimmy {__version__} serves {started.url} (OpenAI API at {started.url}/v1)"]
    info = started.model
    if started.load_error is not None:
        lines.append(f"  model   {started.load_error}")
    elif info is not None:
        lines.append(f"  model   {info.name}: {info.description}, context {info.n_ctx} tokens")
        lines.extend(device_lines(info))
    others = [name for name in names if info is None or name != info.name]
    if others:
        label = "  also    " if info is not None else "  models  "
        lines.append(f"{label}{', '.join(others)} (loaded when first asked for)")
    return "\n".join(lines)


def device_lines(info: ModelInfo) -> list[str]:
    """Where a model lies, and what it takes there."""
    from shimmy.byte_size import size_text

    device = ", ".join(info.devices) or info.backend
    # The output layer counts as one more.
    layers = f"{info.n_gpu_layers} of {info.n_layer + 1} layers on a GPU"
    if info.vram_limit is not None and info.n_gpu_layers <= info.n_layer and info.n_gpu_layers:
        layers += f", {size_text(info.vram_limit)} were left of the VRAM budget"
    partial = f", {info.n_partial_layers} of them in part" if info.n_partial_layers else ""
    return [f"  device  {device} ({info.backend}), {layers}{partial}", *map(_memory_line, info.memory)]


def _memory_line(use: DeviceUse) -> str:
    from shimmy.byte_size import size_text

    parts = (("weights", use.weights), ("KV cache", use.kv_cache), ("compute", use.compute))
    taken = ", ".join(f"{name} {size_text(size)}" for name, size in parts if size)
    left = f"; {size_text(use.memory_free)} of {size_text(use.memory_total)} free" if use.memory_total else ""
    return f"          {use.name} ({use.description}): {taken or 'nothing'}{left}"
