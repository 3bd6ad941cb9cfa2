"""What every script here shares: where the servers are, what is asked, and how what was seen is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

SERVER, GUARDED, KEY = (*sys.argv[1:4], "", "", "")[:3]
"""The server without keys; the one with a key; that key."""

MODEL = "shimmy-mini"
QUESTION = "What is the capital of France?"
ASK_WEATHER = "What is the weather in Paris?"
RESULT = '{"condition": "sunny", "temperature": 21}'
TOO_LONG = "word " * 50_000
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}


def report(clients: Mapping[str, Mapping[str, Callable[[], Any]]]) -> None:
    """Print {client: {case: what it returned, or the error that it raised}}."""
    seen = {client: {case: _look(look) for case, look in cases.items()} for client, cases in clients.items()}
    sys.stdout.write("\n" + json.dumps(seen))


def _look(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except Exception as error:  # noqa: BLE001  (it is what is reported)
        response = getattr(error, "response", None)
        status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
        return {"error": type(error).__name__, "status": status, "message": str(error)[:2000]}
