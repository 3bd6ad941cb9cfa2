"""Clients in other languages or environments: runs the scripts in js/ and frameworks/, which tell what they saw.

What is not installed skips its tests; SHIMMY_TEST_ALL_CLIENTS=1 makes that a failure, so that a run that is meant to
prove everything cannot leave out some of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

_HERE = Path(__file__).parent
_OLDEST_NODE = 18
_OFFLINE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED")


def absent(reason: str) -> NoReturn:
    """Skips the test, or fails it where all clients are asked for."""
    if os.environ.get("SHIMMY_TEST_ALL_CLIENTS", "") not in ("", "0"):
        pytest.fail(f"SHIMMY_TEST_ALL_CLIENTS is set, but {reason}", pytrace=False)
    pytest.skip(reason)


def javascript_clients(folder: Path) -> Path:
    """`folder`, with the scripts of js/ and the packages that they use."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        absent("node and npm are not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < _OLDEST_NODE:
        absent(f"node is {version.strip()}, these clients need {_OLDEST_NODE} or newer")
    shutil.copytree(_HERE / "js", folder, dirs_exist_ok=True)
    options = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefer-offline")
    done = subprocess.run(["npm", "install", *options], cwd=folder, capture_output=True, text=True, timeout=280)
    if done.returncode != 0 and _OFFLINE.search(done.stderr):
        absent(f"npm reached no registry: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder


def run_node(
    clients: Path, script: str, *where: str, fields: Mapping[str, Any] | None = None, cases: Sequence[str] = ()
) -> dict[str, Any]:
    """What `script` of `clients` saw, by case: all cases, or some. `where`: server, guarded server, its key. `fields`
    are added to every request."""
    return _run(["node", script], clients, where, fields or {}, cases)


def run_python(
    script: str, *where: str, fields: Mapping[str, Any] | None = None, cases: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """What `script` of frameworks/ saw, by client and case; `fields` are what each client's model is made with. Runs
    in this environment, or, if it has not the package, in that of SHIMMY_TEST_CLIENTS."""
    package = _PACKAGES[script]
    python = _python_with(package)
    if python is None:
        absent(f"{package} is neither in this environment nor in that of SHIMMY_TEST_CLIENTS")
    return _run([python, script], _HERE / "frameworks", where, fields or {}, cases)


_PACKAGES = {"with_langchain.py": "langchain_core", "with_litellm.py": "litellm", "with_llama_index.py": "llama_index"}


@cache
def _python_with(package: str) -> str | None:
    look = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    for python in (sys.executable, os.environ.get("SHIMMY_TEST_CLIENTS")):
        if python and subprocess.run([python, "-c", look], timeout=60).returncode == 0:
            return python
    return None


def _run(
    program: Sequence[str], folder: Path, where: Sequence[str], fields: Mapping[str, Any], cases: Sequence[str]
) -> Any:
    server, guarded, key = (*where, "", "")[:3]
    arguments = [server, guarded, key, json.dumps(fields), ",".join(cases)]
    done = subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
