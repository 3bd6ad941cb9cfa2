"""The table in docs/settings.md is that of the code; `python tests/unit/cli/test_settings_table.py` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from shimmy.server.field_docs import field_docs
from shimmy.server.reload import LIVE
from shimmy.settings import Settings, variables

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
HEAD = ["| key | default | change by | meaning |", "|---|---|---|---|"]


def rows() -> Iterator[str]:
    docs = field_docs([Settings])["Settings"]
    for field in msgspec.structs.fields(Settings):
        meaning = " ".join(docs[field.name].split()).replace("None:", "not set:").replace("|", "\\|")
        restart = "reload" if field.name in LIVE else "restart"
        yield f"| `{field.name}` | {shown(field.default)} | {restart} | {meaning} |"


def shown(value: Any) -> str:
    """A default as the config file would say it."""
    if value is None:
        return ""
    return f"`{'[]' if value == () else msgspec.json.encode(value).decode()}`"


def test_the_table_of_options() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = lines.index(HEAD[0])
    table = lines[begin : lines.index("", begin)]
    assert table == [*HEAD, *rows()], f"run {Path(__file__).name} and put what it prints into {PAGE.name}"


def test_variables_by_other_names() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for variable, option in variables().items():
        assert variable == f"SHIMMY_{option.upper()}" or f"| `{option}` | `{variable}` |" in text


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in (*HEAD, *rows()))
