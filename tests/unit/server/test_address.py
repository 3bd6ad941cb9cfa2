"""Binding the socket, and errors that name the port."""

from __future__ import annotations

import socket

import pytest

from shimmy.server import address
from shimmy.server.address import BindError, listen, url_of, url_of_bind


def test_an_explicit_port_is_kept() -> None:
    with listen("127.0.0.1:0") as first:
        host, port = first.getsockname()
        assert url_of(first) == f"http://{host}:{port}"
        with pytest.raises(BindError, match=f"port {port} on 127.0.0.1 is in use"):
            listen(f"127.0.0.1:{port}")


def test_a_port_is_free_again_at_once() -> None:
    with listen("127.0.0.1:0") as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            first_end, _ = _accept(first)
            first_end.close()
    listen(f"127.0.0.1:{port}").close()


def _accept(listener: socket.socket) -> tuple[socket.socket, object]:
    listener.setblocking(True)
    return listener.accept()


def test_auto_takes_the_first_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1:0") as busy, listen("127.0.0.1:0") as free:
        ports = (busy.getsockname()[1], free.getsockname()[1])
        free.close()
        monkeypatch.setattr(address, "AUTO_PORTS", ports)
        with listen("auto") as found:
            assert found.getsockname() == ("127.0.0.1", ports[1])
            with listen("auto") as any_port:
                assert any_port.getsockname()[1] not in ports


@pytest.mark.parametrize(
    ("bind", "words"),
    [
        ("no-such-host.invalid:80", "'no-such-host.invalid' cannot be resolved"),
        ("192.0.2.1:8080", "192.0.2.1 is not an address of this machine"),
    ],
)
def test_bad_addresses_say_why(bind: str, words: str) -> None:
    with pytest.raises(BindError, match=words):
        listen(bind)


def test_urls_for_wildcards_and_ipv6() -> None:
    with listen("0.0.0.0:0") as everywhere:
        assert url_of(everywhere).startswith("http://127.0.0.1:")
    with listen("[::1]:0") as six:
        assert url_of(six).startswith("http://[::1]:")


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("auto", "http://127.0.0.1:11435"),
        ("127.0.0.1:80", "http://127.0.0.1:80"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("example.org:81", "http://example.org:81"),
    ],
)
def test_where_a_server_listens_that_was_told_so(bind: str, url: str) -> None:
    assert url_of_bind(bind) == url
