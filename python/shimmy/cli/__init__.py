"""The command line: `shimmy` and `python -m shimmy`. One file per command; heavy imports wait until a command runs."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line on sys.argv and exit with its code."""
    from shimmy.cli.app import app

    app(prog_name="shimmy")
