"""shimmy gpu-info: what models can run on here."""

from __future__ import annotations

from typing import Annotated

import typer

from shimmy.cli.options import Options


def gpu_info(options: Options, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the backends of this build and the devices that they find."""
    from shimmy.cli.hardware import inspect_hardware

    hardware = inspect_hardware(options.settings().rpc or ())
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(hardware).decode())
        return
    from shimmy.byte_size import size_text
    from shimmy.cli.table import print_table

    typer.echo(f"backends: {', '.join(hardware.backends)}")
    print_table(
        ("DEVICE", "BACKEND", "TYPE", "DESCRIPTION", ">FREE", ">TOTAL"),
        [
            (
                device.name,
                device.backend,
                device.type,
                device.description,
                size_text(device.memory_free),
                size_text(device.memory_total),
            )
            for device in hardware.devices
        ],
    )
    for trouble in hardware.build.get("backend_errors", []):
        typer.echo(f"no device because: {trouble}")
    if options.verbose:
        for key, value in hardware.build.items():
            typer.echo(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
