"""shimmy init: the files that put shimmy on a platform, or an application in front of it."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from shimmy import __version__
from shimmy.cli.options import Options
from shimmy.errors import InvalidRequestError

_PROJECTS = Path(__file__).parent / "project"
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_PLACE = re.compile(r"@(name|version)@")


class Template(str, Enum):
    """A folder of files beside this module."""

    docker = "docker"
    kubernetes = "kubernetes"
    railway = "railway"
    fly = "fly"
    fastapi = "fastapi"
    express = "express"


def init(
    options: Options,
    template: Annotated[Template, typer.Option("--template", "-t", help="What to make the files for.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write to; it is made when missing.")
    ] = Path(),
    name: Annotated[
        str | None,
        typer.Option("--name", "-n", metavar="NAME", help="Name of the project; the folder's when not given."),
    ] = None,
) -> None:
    """Write the files that deploy shimmy, or an application in front of it. Nothing is overwritten."""
    project = name or _name_of(output)
    if not _NAME.fullmatch(project):
        raise InvalidRequestError(
            f"{project!r} is no name for a project: use up to 63 lower-case letters, digits and dashes, "
            "a letter first, with --name",
            "name",
        )
    files = project_files(template, project)
    there = [file for file in files if (output / file).exists()]
    if there:
        raise InvalidRequestError(
            f"{output} has {', '.join(map(str, there))} already, so nothing was written: choose another --output",
            "output",
        )
    for file, text in files.items():
        path = output / file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    typer.echo("\n".join(f"wrote {output / file}" for file in files))
    typer.echo(f"{output / 'README.md'} says how to go on")


def project_files(template: Template, name: str) -> dict[Path, str]:
    """Path below the output folder -> contents, for a project of that name."""
    folder = _PROJECTS / template.value
    values = {"name": name, "version": __version__}
    return {
        path.relative_to(folder): _PLACE.sub(lambda found: values[found[1]], path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts  # which installers leave beside a template's main.py
    }


def _name_of(folder: Path) -> str:
    """The folder's name, as far as it can be one."""
    letters = re.sub(r"[^a-z0-9]+", "-", folder.absolute().resolve().name.lower())
    return letters.lstrip("-0123456789")[:63].rstrip("-") or "shimmy"
