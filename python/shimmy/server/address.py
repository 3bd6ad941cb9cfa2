"""The one listening socket of a server: bound once, early, and kept."""

from __future__ import annotations

import errno
import socket

from shimmy.errors import ShimmyError
from shimmy.settings import bind_address

LOOPBACK = "127.0.0.1"
AUTO_PORTS = range(11435, 11536)
BACKLOG = 2048

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class BindError(ShimmyError):
    """The address cannot be listened on; the message names it and says why."""


def listen(bind: str) -> socket.socket:
    """A listening socket for HOST:PORT or auto (the first free port from 11435 to 11535, else any). BindError."""
    address = bind_address(bind)
    if address is not None:
        return _listen(*address)
    for port in AUTO_PORTS:
        try:
            return _listen(LOOPBACK, port)
        except BindError:
            continue
    return _listen(LOOPBACK, 0)


def url_of(listener: socket.socket) -> str:
    """Where a browser on this machine reaches it."""
    return _url(*listener.getsockname()[:2])


def url_of_bind(bind: str) -> str:
    """Where a server on this machine is to be reached that was told to `listen` so; of auto the first port. Raises
    SettingsError.
    """
    return _url(*(bind_address(bind) or (LOOPBACK, AUTO_PORTS[0])))


def _url(host: str, port: int) -> str:
    host = _WILDCARDS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise BindError(f"host {host!r} cannot be resolved: give an address of this machine") from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BindError(_reason(error, host, port)) from error
    listener.setblocking(False)
    return listener


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another program: stop it, or choose another with --bind"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} may not be used by this user: choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine"
    return f"cannot listen on port {port} of {host}: {error.strerror}"
