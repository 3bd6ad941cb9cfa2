"""shimmy ps: the models that a running server has loaded."""

from __future__ import annotations

import time
from typing import Any

import typer

from shimmy.cli.options import Options
from shimmy.cli.running_server import RunningServer, Url


def ps(options: Options, url: Url = None) -> None:
    """List the loaded models of the running server, what they take and how long they stay."""
    server = RunningServer(url, options.settings())
    states = [state for state in server.get("/api/models/status") if state["status"] != "unloaded"]
    if not states:
        typer.echo(f"no model is loaded at {server.url}")
        return
    from shimmy.byte_size import size_text
    from shimmy.cli.table import print_table

    rows = [
        (
            state["model"],
            state["status"],
            size_text(state["memory_bytes"]) if state["memory_bytes"] else "-",
            size_text(state["vram_bytes"]) if state["vram_bytes"] else "-",
            str(state["n_ctx"] or "-"),
            str(state["in_use"]),
            _until(state, time.time()),
        )
        for state in states
    ]
    print_table(("NAME", "STATE", ">MEMORY", ">GPU", ">CONTEXT", ">IN USE", "UNTIL"), rows)


def _until(state: dict[str, Any], now: float) -> str:
    """When it leaves, for people."""
    if not state["loaded"]:
        return state["error"] or "-"
    if state["pinned"]:
        return "pinned"
    if state["expires_at"] is None:
        return "for ever"
    seconds = max(0, round(state["expires_at"] - now))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"in {hours} h {minutes} min"
    return f"in {minutes} min {seconds} s" if minutes else f"in {seconds} s"
