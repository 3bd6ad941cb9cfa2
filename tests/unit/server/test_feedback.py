"""/v1/feedback and /v1/training/status, and the file below them."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shimmy.server.errors import HttpError
from shimmy.server.feedback_store import Feedback, FeedbackStore
from shimmy.settings import Settings

ENTRY = {"query": "2+2?", "response": "5", "weight": 10.0, "feedback": "wrong"}


@pytest.fixture
def told(start_server: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    with start_server(Settings(bind="127.0.0.1:0", data_dir=tmp_path / "data")) as server:
        yield server


def add(server: Any, **fields: Any) -> httpx.Response:
    return server.http.post("/v1/feedback", json={**ENTRY, **fields})


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "feedback.jsonl").read_text().splitlines()]


def entry(query: str = "q", **fields: Any) -> Feedback:
    return Feedback(**{"query": query, "response": "r", "weight": 1.0, "time": "2026-01-01T00:00:00Z", **fields})


def test_feedback_is_kept(told: Any, tmp_path: Path) -> None:
    empty = {
        "training_active": False,
        "last_training": None,
        "queue_length": 0,
        "total_weight": 0.0,
        "last_feedback": None,
        "file": "feedback.jsonl",
    }
    assert told.http.get("/v1/training/status").json() == empty
    assert not (tmp_path / "data").exists()
    answer = add(told)
    assert (answer.status_code, answer.json()) == (200, {"status": "queued"})
    assert add(told, weight=0.5, feedback=None, query="é\n").status_code == 200
    first, second = lines(tmp_path / "data")
    assert datetime.fromisoformat(first.pop("time").replace("Z", "+00:00"))
    assert first == ENTRY
    assert "feedback" not in second
    assert second["query"] == "é\n"
    status = told.http.post("/v1/training/status").json()
    assert (status["queue_length"], status["total_weight"], status["last_feedback"]) == (2, 10.5, second["time"])
    assert stat.S_IMODE((tmp_path / "data" / "feedback.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weight": 0}, "weight must be more than 0"),
        ({"weight": -1}, "weight must be more than 0"),
        ({"weight": 1e7}, "weight must be at most 1000000"),
        ({"weight": "1"}, "weight must be a number"),
        ({"query": ""}, "query must hold at least 1"),
        ({"response": None}, "response must be a string"),
        ({"query": "x" * (1 << 20)}, "the limit is 1048576"),
    ],
)
def test_bad_feedback_is_400(told: Any, tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    answer = add(told, **fields)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert not (tmp_path / "data" / "feedback.jsonl").exists()


def test_a_missing_weight_is_400(told: Any) -> None:
    answer = told.http.post("/v1/feedback", json={"query": "a", "response": "b"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "weight is required")


def test_a_folder_that_cannot_be_written(start_server: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with start_server(Settings(bind="127.0.0.1:0", data_dir=tmp_path / "file")) as server:
        answer = add(server)
        assert answer.status_code == 503
        assert str(tmp_path) not in answer.text
        assert "could not be written" in answer.json()["error"]["message"]
        assert server.http.get("/v1/training/status").status_code == 503


def test_each_key_has_its_own_numbers(start_server: Callable[..., Any], tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[ann]\nkey = "ann-secret"\n[bob]\nkey = "bob-secret"\n')
    with start_server(Settings(bind="127.0.0.1:0", api_keys=keys, data_dir=tmp_path)) as server:
        server.http.post("/v1/feedback", json=ENTRY, headers={"x-api-key": "ann-secret"})
        assert lines(tmp_path)[0]["key"] == "ann"
        for who, n_entries in (("ann", 1), ("bob", 0)):
            status = server.http.get("/v1/training/status", headers={"x-api-key": f"{who}-secret"}).json()
            assert status["queue_length"] == n_entries


def test_a_crash_at_any_byte_loses_at_most_the_entry_of_then(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path)
    store.add(entry("one"))
    one = store.path.stat().st_size
    store.add(entry("two"))
    whole = store.path.read_bytes()
    for size in range(one, len(whole) + 1):
        store.path.write_bytes(whole[:size])
        fresh = FeedbackStore(tmp_path)
        assert fresh.totals("").entries == (2 if size == len(whole) else 1)
        fresh.add(entry("three"))
        expected = ["one", "two", "three"] if size == len(whole) else ["one", "three"]
        assert [line["query"] for line in lines(tmp_path)] == expected
        assert fresh.totals("").entries == len(expected)


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FeedbackStore(tmp_path)
    store.add(entry("one"))
    before = store.path.read_bytes()
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[:5]))
        with pytest.raises(HttpError, match="No space left"):
            store.add(entry("two"))
    assert store.path.read_bytes() == before
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(HttpError, match="Input/output error"):
            store.add(entry("two"))
    assert store.path.read_bytes() == before
    store.add(entry("two"))
    assert store.totals("").entries == 2


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shimmy.server.feedback_store.MAX_BYTES", 300)
    store = FeedbackStore(tmp_path)
    for number in range(3):
        store.add(entry(str(number)))
    with pytest.raises(
        HttpError, match=r"feedback.jsonl in the data folder holds \d+ bytes, its limit is 300"
    ) as caught:
        store.add(entry("x" * 200))
    assert caught.value.status == 409
    store.path.rename(tmp_path / "taken.jsonl")
    assert store.totals("").entries == 0
    store.add(entry("again"))
    assert store.totals("").entries == 1


def test_several_writers_share_the_file(tmp_path: Path) -> None:
    stores = [FeedbackStore(tmp_path) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda store=store, n=n: [store.add(entry(f"{n}-{k}", key="k")) for k in range(10)])
        for n, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({line["query"] for line in lines(tmp_path)}) == 30
    assert {store.totals("k").entries for store in stores} == {30}


def test_lines_of_others_are_passed_over(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path)
    store.path.write_bytes(b'not json\n{"query": 5}\n\xff\n')
    store.add(entry(weight=2.5))
    totals = store.totals("")
    assert (totals.entries, totals.weight, totals.last) == (1, 2.5, "2026-01-01T00:00:00Z")
    assert store.path.read_bytes().startswith(b"not json\n")
