"""Requests that leave this machine: redirects are checked, and what proves who we are stays with the host it is for."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from shimmy.errors import ModelNotFoundError, ShimmyError

if TYPE_CHECKING:
    import httpx

MAX_REDIRECTS = 5

_TIMEOUT_SECONDS = 20.0


class DownloadError(ShimmyError):
    """A model could not be downloaded; the message says what failed and what to do."""


class UnreachableError(DownloadError):
    """The host did not answer, or the connection broke: another try may work."""


class Egress:
    """A client for the files of one host and of those that it redirects to."""

    def __init__(self) -> None:
        """DownloadError when httpx is not installed."""
        try:
            import httpx
        except ImportError:
            raise missing_library("httpx") from None
        self._httpx = httpx
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS, follow_redirects=False)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Egress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """The streamed answer of the last of at most five hops, with status 200, 206 or 416.

        `headers` go to the host of `url` alone, but for Range and Accept. Raises ModelNotFoundError (404),
        UnreachableError (no answer, 408, 429, 5xx) and DownloadError.
        """
        origin = _origin(url)
        for _ in range(MAX_REDIRECTS + 1):
            own = _origin(url) == origin
            sent = {name: value for name, value in headers.items() if own or name.lower() in ("range", "accept")}
            try:
                with self._client.stream("GET", url, headers={**sent, "accept-encoding": "identity"}) as response:
                    if not response.has_redirect_location:
                        _check(response.status_code, url)
                        yield response
                        return
                    url = str(self._httpx.URL(url).join(response.headers["location"]))
            except self._httpx.TransportError as error:
                raise UnreachableError(f"{_host(url)} cannot be reached: {error or type(error).__name__}") from error
            except self._httpx.InvalidURL as error:
                raise DownloadError(f"{_host(url)} redirects to what is no address") from error
            check_redirect(url, origin)
        raise DownloadError(f"{_host(url)} redirects more than {MAX_REDIRECTS} times")


def check_redirect(url: str, origin: tuple[str, str, int | None]) -> None:
    """DownloadError for a redirect that leaves its origin by anything but https, or from a public host to an address
    that is not. Behind a proxy it is the proxy that finds addresses.
    """
    if _origin(url) == origin:
        return
    scheme, host, port = _origin(url)
    if scheme != "https":
        raise DownloadError(f"{origin[1]} redirects to {scheme}://{host}, which is not followed: only https is")
    if "https" in getproxies():
        return
    if not _is_public(host, port) and _is_public(origin[1], origin[2]):
        raise DownloadError(f"{origin[1]} redirects to {host}, which is not a public address and is not followed")


def _is_public(host: str, port: int | None) -> bool:
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise UnreachableError(f"{host} cannot be reached: {error.strerror or error}") from error
    return all(ipaddress.ip_address(address.partition("%")[0]).is_global for address in addresses)


def missing_library(name: str) -> DownloadError:
    return DownloadError(f"pulling models needs {name}: pip install 'shimmy-llm[hub]'")


def _check(status: int, url: str) -> None:
    host = _host(url)
    if status in (200, 206, 416):
        return
    if status == 404:
        raise ModelNotFoundError(f"{host} has no such model or file")
    if status in (401, 403):
        raise DownloadError(f"{host} refuses access ({status}): the model is private, gated or asks for a login")
    if status in (408, 429) or status >= 500:
        raise UnreachableError(f"{host} answered {status}: try again later")
    raise DownloadError(f"{host} answered {status}")


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    try:
        return parts.scheme, parts.hostname or "", parts.port
    except ValueError as error:
        raise DownloadError(f"{parts.hostname} redirects to what is no address") from error


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
