"""The server that runs, asked over HTTP by commands about its models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPException
from typing import IO, Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import typer

from shimmy.errors import InvalidRequestError, ModelNotFoundError, ShimmyError
from shimmy.settings import Settings, SettingsError

Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="Server to ask.  [default: where SHIMMY_BIND_ADDRESS or the config file says]"
    ),
]

_MAX_ANSWER = 16 * 1024 * 1024
_SECONDS = 30.0


class RunningServer:
    """`url`: where it is; None: where the settings have it listen, on the first port of "auto"."""

    def __init__(self, url: str | None, settings: Settings) -> None:
        from shimmy.server.address import url_of_bind

        self.url = (url or url_of_bind(settings.bind)).rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise SettingsError(f"--url is {url!r}: it must be like http://127.0.0.1:11435")
        self._key = settings.api_key

    def get(self, path: str) -> Any:
        """The JSON at `path`. Raises ShimmyError, ModelNotFoundError or InvalidRequestError: what the server says."""
        with self._open("GET", path, None, _SECONDS) as answer:
            return json.loads(answer.read(_MAX_ANSWER))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """As `get`. Waits as long as it takes."""
        with self._open("POST", path, body, None) as answer:
            return json.loads(answer.read(_MAX_ANSWER))

    def events(self, path: str, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The names and data of the events of an answer; "error" raises."""
        with self._open("POST", path, body, None, "text/event-stream") as answer:
            event = ""
            for line in answer:
                word, _, value = line.decode().rstrip("\r\n").partition(": ")
                if word == "event":
                    event = value
                elif word == "data":
                    if event == "error":
                        raise ShimmyError(_message(value.encode()) or value)
                    yield event, json.loads(value)

    def _open(
        self, method: str, path: str, body: dict[str, Any] | None, seconds: float | None, accept: str = "*/*"
    ) -> IO[bytes]:
        headers = {"accept": accept, "user-agent": "shimmy", "content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + quote(path), data, headers, method=method)
        try:
            answer: IO[bytes] = build_opener(ProxyHandler({})).open(request, timeout=seconds)
        except HTTPError as error:
            with error:
                message = _message(error.read(_MAX_ANSWER)) or f"the server answered {error.code} {error.reason}"
            raise _KINDS.get(error.code, ShimmyError)(message) from None
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ShimmyError(
                f"no server answers at {self.url} ({reason}): start one with shimmy serve, or give --url"
            ) from None
        return answer


_KINDS: dict[int, type[ShimmyError]] = {400: InvalidRequestError, 404: ModelNotFoundError}


def _message(body: bytes) -> str:
    """What an answer says is wrong, in shimmy's own shape; empty for any other."""
    try:
        told = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    return told if isinstance(told, str) else ""
