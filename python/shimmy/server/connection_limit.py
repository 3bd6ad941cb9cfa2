"""How many connections may be open at one time: of all clients, and of each address but this machine's."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from shimmy.server.errors import HttpError

SPARE_FILES = 64
"""What is left of the files that the process may have open, for models' processes and their files."""


MOST_FILES = 65_536
"""As many as are asked for, where the system's hard limit allows more."""


def raise_file_limit() -> None:
    """Let this process open as many files as it may allow itself. Programs begin with fewer, often 1,024, for the sake
    of select(2), which nothing here calls. Where the system refuses, the limit stays as it was.
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for files in (MOST_FILES, 10_240):  # macOS may have a limit below the hard one
        wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
        if resource.RLIM_INFINITY != soft < wanted:
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return


def most_connections() -> int | None:
    """As many as there may be files, less those that are spared; None: there is no such limit."""
    if sys.platform == "win32":
        return None
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if files == resource.RLIM_INFINITY else max(files - SPARE_FILES, 1)


class ConnectionLimit:
    """None: no limit."""

    def __init__(self, most: int | None, per_address: int | None) -> None:
        self._most = most
        self._per_address = per_address

    def check(self, address: str | None, connections: Collection[Any]) -> None:
        """HttpError 503 when the newest of `connections`, from `address`, is one too many."""
        n_open = len(connections)
        if self._most is not None and n_open > self._most:
            raise _too_many(f"{self._most} connections are open, as many as the server's limit of open files allows")
        most = self._per_address
        if most is None or n_open <= most or address is None or _is_loopback(address):
            return
        if sum(one.client is not None and one.client[0] == address for one in connections) > most:
            raise _too_many(f"{most} connections of {address} are open, the most that one address may have")


def _too_many(reason: str) -> HttpError:
    return HttpError(503, f"{reason}: close some, or try again in a moment", "too_many_connections", retry_after=1)


def _is_loopback(address: str) -> bool:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(known, "ipv4_mapped", None)
    return (mapped or known).is_loopback
