"""Answers that do not end by themselves: others of the demo model are whole before a test can look at them."""

from __future__ import annotations

import time
from typing import Any

import httpx

WITHOUT_END: dict[str, Any] = {"ignore_eos": True, "context_policy": "shift"}
MAX_TOKENS = 10_000_000
ENDLESS: dict[str, Any] = {**WITHOUT_END, "max_tokens": MAX_TOKENS}
"""Fields of a request that only its cancellation ends. Responses and Ollama call the last one otherwise."""


def requests_of(url: str, **query: str) -> list[Any]:
    return list(httpx.get(f"{url}/v1/requests", params=query, timeout=60).json()["data"])


def wait_until_running(url: str, n_requests: int = 1) -> list[Any]:
    """The requests that run, once they are so many; something of the answer of each has come."""
    end = time.monotonic() + 60
    while len(running := [one for one in requests_of(url, state="running") if one["n_tokens"]]) < n_requests:
        assert time.monotonic() < end, requests_of(url)
        time.sleep(0.02)
    return running


def wait_until_ended(url: str) -> list[Any]:
    """All requests, once none is open."""
    end = time.monotonic() + 60
    told = requests_of(url)
    while any(one["ended"] is None for one in told):
        assert time.monotonic() < end, told
        time.sleep(0.02)
        told = requests_of(url)
    return told
