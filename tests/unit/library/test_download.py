"""One file: resumed, checked, and under its final name only when it is whole."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_host import FakeHost

from shimmy.errors import ModelNotFoundError
from shimmy.library import download, egress
from shimmy.library.download import CancelledDownloadError, Download, RemoteFile
from shimmy.library.egress import DownloadError, Egress, UnreachableError, check_redirect

DATA = bytes(range(256)) * 20_000
"""5 MB: several chunks."""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.001)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "below" / "model.gguf"


@pytest.fixture
def fetch(host: FakeHost, target: Path) -> Callable[..., list[int]]:
    """Downloads /file to `target`; returns what was reported."""
    host.files["/file"] = DATA

    def run(data: bytes = DATA, **fields: Any) -> list[int]:
        sizes: list[int] = []
        stop = fields.pop("stop", threading.Event())
        check = fields.pop("check", None)
        file = {"url": f"{host.url}/file", "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **fields}
        with Egress() as client:
            Download(RemoteFile(**file), target, sizes.append, stop).run(client, check)
        return sizes

    return run


def partial(target: Path) -> Path:
    return target.with_name("model.gguf.partial")


def test_a_whole_file(host: FakeHost, fetch: Any, target: Path) -> None:
    sizes = fetch()
    assert target.read_bytes() == DATA
    assert sizes == sorted(sizes)
    assert sizes[-1] == len(DATA)
    assert list(target.parent.iterdir()) == [target]
    fetch()
    assert host.fetched("file") == [None]  # what is there is not fetched again


def test_a_broken_connection_is_taken_up_where_it_ended(host: FakeHost, fetch: Any, target: Path) -> None:
    host.cut_after = 2_000_000
    fetch()
    assert target.read_bytes() == DATA
    first, second = host.fetched("file")
    assert first is None
    assert second is not None
    assert 0 < int(second[6:-1]) <= 2_000_000


def test_what_an_earlier_download_left_is_used(host: FakeHost, fetch: Any, target: Path) -> None:
    target.parent.mkdir()
    partial(target).write_bytes(DATA[:1234])
    fetch()
    assert target.read_bytes() == DATA
    assert host.fetched("file") == ["bytes=1234-"]


@pytest.mark.parametrize("left", [len(DATA), len(DATA) + 5])
def test_a_partial_file_that_is_complete_or_too_long(host: FakeHost, fetch: Any, target: Path, left: int) -> None:
    target.parent.mkdir()
    partial(target).write_bytes((DATA + b"12345")[:left])
    fetch()
    assert target.read_bytes() == DATA
    assert host.fetched("file") == ([] if left == len(DATA) else [None])


def test_a_host_that_knows_no_ranges_sends_all_again(host: FakeHost, fetch: Any, target: Path) -> None:
    host.ignore_range = True
    target.parent.mkdir()
    partial(target).write_bytes(DATA[:1234])
    fetch()
    assert target.read_bytes() == DATA


def test_a_file_without_a_checksum_is_not_resumed(host: FakeHost, fetch: Any, target: Path) -> None:
    target.parent.mkdir()
    partial(target).write_bytes(b"x" * 1234)
    fetch(sha256=None)
    assert target.read_bytes() == DATA


def test_a_part_from_another_place_is_not_taken(host: FakeHost, fetch: Any, target: Path) -> None:
    host.wrong_range = True
    target.parent.mkdir()
    partial(target).write_bytes(DATA[:1234])
    fetch()
    assert target.read_bytes() == DATA
    assert host.fetched("file") == ["bytes=1234-", None]


def test_a_newer_version_of_the_same_size(host: FakeHost, fetch: Any, target: Path) -> None:
    newer = DATA[::-1]
    fetch()
    host.files["/file"] = newer
    fetch(newer)
    assert target.read_bytes() == newer
    partial(target).write_bytes(newer[:1234])  # left by an earlier program, which did not say of what version
    target.unlink()
    fetch(newer)
    assert target.read_bytes() == newer


def test_a_part_of_an_older_version_is_thrown_away(host: FakeHost, fetch: Any, target: Path) -> None:
    host.cut_after = 2_000_000
    with pytest.raises(DownloadError, match="another SHA-256"):
        fetch(sha256="0" * 64)
    stop = threading.Event()
    sha256 = hashlib.sha256(DATA).hexdigest()
    with Egress() as client, pytest.raises(CancelledDownloadError):
        file = RemoteFile(url=f"{host.url}/file", size=len(DATA), sha256=sha256)
        Download(file, target, lambda n: stop.set() if n else None, stop).run(client)
    assert partial(target).stat().st_size > 0
    host.files["/file"] = newer = DATA[::-1]
    fetch(newer)
    assert target.read_bytes() == newer
    assert list(target.parent.iterdir()) == [target]


def test_a_second_download_waits_for_the_first(host: FakeHost, fetch: Any, target: Path) -> None:
    host.gate.clear()
    with ThreadPoolExecutor() as pool:
        fetching = [pool.submit(fetch) for _ in range(3)]
        while not partial(target).exists() or partial(target).stat().st_size < 1_000_000:
            assert not fetching[0].done()
        host.gate.set()
        for one in fetching:
            assert one.result(10)[-1] == len(DATA)
    assert target.read_bytes() == DATA
    assert host.fetched("file") == [None]
    assert list(target.parent.iterdir()) == [target]


def test_a_wrong_checksum_leaves_nothing(fetch: Any, target: Path) -> None:
    with pytest.raises(DownloadError, match="another SHA-256"):
        fetch(sha256="0" * 64)
    assert list(target.parent.iterdir()) == []


def test_a_left_over_part_of_another_file_does_not_stay(fetch: Any, target: Path) -> None:
    target.parent.mkdir()
    partial(target).write_bytes(b"x" * 1234)
    with pytest.raises(DownloadError, match="another SHA-256"):
        fetch()
    fetch()
    assert target.read_bytes() == DATA


def test_a_file_that_is_refused_leaves_nothing(fetch: Any, target: Path) -> None:
    def refuse(path: Path) -> None:
        assert path.read_bytes() == DATA
        raise DownloadError("no model")

    with pytest.raises(DownloadError, match="no model"):
        fetch(check=refuse)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(("said", "message"), [(len(DATA) - 1, "more than the"), (len(DATA) + 1, "ends at")])
def test_a_host_that_lies_about_the_size(fetch: Any, target: Path, said: int, message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        fetch(size=said, sha256=None)
    assert not target.exists()


def test_no_room(fetch: Any, host: FakeHost, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=70_000_000))
    with pytest.raises(DownloadError, match=r"no room for 0.0 GB: the disk has 0.1 GB free"):
        fetch(size=10_000_000)
    assert host.asked == []
    assert not target.exists()


def test_being_cancelled_keeps_what_came(host: FakeHost, fetch: Any, target: Path) -> None:
    stop = threading.Event()
    host.gate.clear()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            fetch(stop=stop)
        except DownloadError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not partial(target).exists() or partial(target).stat().st_size < 1_000_000:
        assert thread.is_alive()
    second = threading.Event()
    threading.Timer(0.3, second.set).start()
    with pytest.raises(CancelledDownloadError):
        fetch(stop=second)  # it waits for the first one until it is told not to
    stop.set()
    host.gate.set()
    thread.join(10)
    assert isinstance(failed[0], CancelledDownloadError)
    assert not target.exists()
    fetch()
    assert target.read_bytes() == DATA
    assert host.fetched("file")[-1] != "bytes=0-"


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (404, ModelNotFoundError, "no such model"),
        (401, DownloadError, "private, gated"),
        (403, DownloadError, "private, gated"),
        (418, DownloadError, "answered 418"),
        (500, UnreachableError, "answered 500: try again"),
        (429, UnreachableError, "answered 429"),
    ],
)
def test_what_hosts_answer(host: FakeHost, fetch: Any, status: int, kind: type[Exception], message: str) -> None:
    host.statuses["/file"] = status
    with pytest.raises(kind, match=message) as caught:
        fetch()
    assert type(caught.value) is kind
    assert len(host.asked) == (4 if kind is UnreachableError else 1)


def test_nobody_there(fetch: Any, host: FakeHost) -> None:
    with pytest.raises(UnreachableError, match=r"127.0.0.1:1 cannot be reached"):
        fetch(url="http://127.0.0.1:1/file")


class TestRedirects:
    def test_within_a_host(self, host: FakeHost, fetch: Any, target: Path) -> None:
        host.redirects["/file"] = "/elsewhere"
        host.files["/elsewhere"] = DATA
        fetch(headers={"authorization": "Bearer secret"})
        assert target.read_bytes() == DATA
        assert host.headers["/elsewhere"]["authorization"] == "Bearer secret"

    def test_too_many(self, host: FakeHost, fetch: Any) -> None:
        host.redirects["/file"] = "/file"
        with pytest.raises(DownloadError, match="more than 5 times"):
            fetch()

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "file:///etc/passwd", "ftp://hf.co/x", "//127.0.0.1:9/x"])
    def test_elsewhere_by_anything_but_https(self, host: FakeHost, fetch: Any, url: str) -> None:
        host.redirects["/file"] = url
        with pytest.raises(DownloadError, match="only https"):
            fetch()

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "::1",
            "fd00::1",
            "fe80::1%eth0",
            "::ffff:10.0.0.1",
        ],
    )
    def test_from_outside_to_inside(self, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        known = {"hub.example": "8.8.8.8", "inside.example": address, "cdn.example": "2606:4700::1"}
        monkeypatch.setattr(egress, "getproxies", dict)
        monkeypatch.setattr(
            egress.socket, "getaddrinfo", lambda host, port, **_: [(None, None, None, "", (known[host], port))]
        )
        origin = ("https", "hub.example", None)
        check_redirect("https://cdn.example/x", origin)
        with pytest.raises(DownloadError, match="not a public address"):
            check_redirect("https://inside.example/x", origin)
        with pytest.raises(DownloadError, match="no address"):
            check_redirect("https://cdn.example:99999/x", origin)
        check_redirect("https://inside.example/x", ("https", "inside.example", 8443))  # a mirror of one's own

    def test_a_token_stays_with_its_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import httpx

        seen: dict[str, Any] = {}

        def answer(request: httpx.Request) -> httpx.Response:
            seen[request.url.host] = request.headers
            if request.url.host == "hub.example":
                return httpx.Response(302, headers={"location": "https://cdn.example/x"})
            return httpx.Response(200, content=b"data")

        monkeypatch.setattr(egress, "check_redirect", lambda url, origin: None)
        with Egress() as client:
            client._client = httpx.Client(transport=httpx.MockTransport(answer))
            headers = {"authorization": "Bearer secret", "range": "bytes=3-"}
            with client.get("https://hub.example/x", headers) as response:
                assert response.read() == b"data"
        assert seen["hub.example"]["authorization"] == "Bearer secret"
        assert "authorization" not in seen["cdn.example"]
        assert seen["cdn.example"]["range"] == "bytes=3-"


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="the system cannot refuse links")
def test_a_link_in_its_place_is_not_followed(fetch: Any, target: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    target.parent.mkdir()
    partial(target).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        fetch()
    assert victim.read_bytes() == b"precious"
