"""What every script here shares: where the servers are, what is asked, and how what was seen is told."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import urlopen

SERVER, GUARDED, KEY, _FIELDS, _CASES = (*sys.argv[1:], *("", "", "", "{}", "")[len(sys.argv) - 1 :])
"""The server without keys; the one with a key and a queue of one; that key."""

GIVEN: Mapping[str, Any] = json.loads(_FIELDS)
"""By client: what its model is made with besides, such as another model's name."""

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
    """Print {client: {case: what it returned, or the error that it raised}}, for the cases asked for."""
    wanted = _CASES.split(",") if _CASES else [case for cases in clients.values() for case in cases]
    seen = {
        client: {case: _look(look) for case, look in cases.items() if case in wanted}
        for client, cases in clients.items()
    }
    sys.stdout.write("\n" + json.dumps(seen))


def crowd(ask: Callable[[], Any]) -> dict[str, Any]:
    """How many of 48 requests at once were answered, and the errors of the others."""
    with ThreadPoolExecutor(48) as pool:
        told = list(pool.map(lambda _: _look(ask), range(48)))
    refused = [one for one in told if isinstance(one, dict) and "error" in one]
    return {"answered": len(told) - len(refused), "refused": refused}


def last_request() -> Any:
    """The newest request, as the server tells it once nothing runs any more."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with urlopen(f"{SERVER}/v1/requests", timeout=20) as answer:
            told = json.load(answer)["data"]
        if all(one["ended"] is not None for one in told):
            return told[-1]
        time.sleep(0.02)
    raise TimeoutError("a request still runs although its client left")


def _look(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except Exception as error:  # noqa: BLE001  (it is what is reported)
        response = getattr(error, "response", None)
        status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
        return {"error": type(error).__name__, "status": status, "message": str(error)[:2000]}
