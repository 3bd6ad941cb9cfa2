"""When prefixes are written and read, by an engine that says what it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from shimmy.errors import InvalidRequestError
from shimmy.kept_prefixes import KeptPrefixes
from shimmy.kv_store.prefix_store import PrefixStore
from shimmy.output import Usage
from shimmy.request import GenerateRequest

TOKENS = list(range(400))
STATE = b"s" * 100_000
SLOW = Usage(prompt_tokens=400, completion_tokens=1, prefill_seconds=4.0)
FAST = Usage(prompt_tokens=400, completion_tokens=1, prefill_seconds=1e-6)


class FakeEngine:
    """Has nothing cached and takes everything."""

    def __init__(self, running: int = 0) -> None:
        self.stats = SimpleNamespace(running=running, waiting=0)
        self.prefixes_lost = 0
        self.n_ctx = 1024
        self.saved: list[int] = []
        self.loaded: list[bytes] = []
        self.asked = 0
        self.refusal: InvalidRequestError | None = None

    def save_prefix(self, tokens: list[int], **_: Any) -> bytes:
        self.saved.append(len(tokens))
        return STATE

    def cached_prefix(self, tokens: list[int], **_: Any) -> int:
        self.asked += 1
        return 0

    def load_prefix(self, state: bytes, **_: Any) -> list[int]:
        if self.refusal is not None:
            raise self.refusal
        self.loaded.append(state)
        return TOKENS


def request(tokens: list[int] = TOKENS) -> GenerateRequest:
    return GenerateRequest(request_id="1", prompt=tokens)


@contextmanager
def keeping(folder: Path, engine: FakeEngine, **seconds: float) -> Iterator[KeptPrefixes]:
    store = PrefixStore(folder, "model=1", 1 << 30)
    kept = KeptPrefixes(engine, store, **{"idle_seconds": 0.1, **seconds})  # type: ignore[arg-type]
    try:
        yield kept
    finally:
        kept.close()


def use_twice(kept: KeptPrefixes, usage: Usage) -> None:
    kept.used(request(), TOKENS, usage)
    kept.used(request(), TOKENS, usage)


def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stored(folder: Path) -> list[Path]:
    return list(folder.rglob("*.kv"))


def test_a_busy_engine_writes_after_a_while(tmp_path: Path) -> None:
    engine = FakeEngine(running=1)
    with keeping(tmp_path, engine, busy_seconds=1000) as kept:
        use_twice(kept, SLOW)
        time.sleep(0.5)
        assert engine.saved == []
    assert len(stored(tmp_path)) == 1  # at its end
    with keeping(tmp_path / "b", engine, busy_seconds=0.3) as kept:
        use_twice(kept, SLOW)
        eventually(lambda: stored(tmp_path / "b"))


def test_what_is_computed_faster_than_read_is_not_written(tmp_path: Path) -> None:
    engine = FakeEngine()
    with keeping(tmp_path, engine) as kept:
        use_twice(kept, FAST)
        eventually(lambda: engine.saved)
    assert stored(tmp_path) == []


def test_what_is_computed_faster_than_read_is_not_read(tmp_path: Path) -> None:
    with keeping(tmp_path, FakeEngine()) as kept:
        use_twice(kept, SLOW)
    engine = FakeEngine()
    with keeping(tmp_path, engine) as kept:
        kept.used(request(), TOKENS, FAST)
        assert kept.restore(request(), [*TOKENS, 7]) is None
    assert engine.loaded == []


def test_a_prefix_is_read_once_and_again_when_something_was_lost(tmp_path: Path) -> None:
    with keeping(tmp_path, FakeEngine()) as kept:
        use_twice(kept, SLOW)
    engine = FakeEngine()
    with keeping(tmp_path, engine) as kept:
        trial = kept.restore(request(), [*TOKENS, 7])
        assert trial is not None
        assert len(list(tmp_path.rglob("*.trying"))) == 1
        trial.end()
        assert engine.loaded == [STATE]
        assert kept.restore(request(), [*TOKENS, 8]) is None
        assert engine.asked == 1  # it waits for the engine's step
        engine.prefixes_lost += 1
        again = kept.restore(request(), [*TOKENS, 8])
        assert again is not None
        again.end()
        assert engine.loaded == [STATE, STATE]
    assert not list(tmp_path.rglob("*.trying"))


def test_a_state_without_room_stays_and_a_bad_one_goes(tmp_path: Path) -> None:
    with keeping(tmp_path, FakeEngine()) as kept:
        use_twice(kept, SLOW)
    engine = FakeEngine()
    with keeping(tmp_path, engine) as kept:
        engine.refusal = InvalidRequestError("no room", "tokens")
        assert kept.restore(request(), [*TOKENS, 7]) is None
        assert len(stored(tmp_path)) == 1
        engine.refusal = InvalidRequestError("damaged", "state")
        assert kept.restore(request(), [*TOKENS, 7]) is None
        assert stored(tmp_path) == []
    assert not list(tmp_path.rglob("*.trying"))


def test_a_context_that_is_too_short_reads_nothing(tmp_path: Path) -> None:
    with keeping(tmp_path, FakeEngine()) as kept:
        use_twice(kept, SLOW)
    engine = FakeEngine()
    engine.n_ctx = 300
    with keeping(tmp_path, engine) as kept:
        assert kept.restore(request(), TOKENS[:299]) is None
    assert len(stored(tmp_path)) == 1
    assert engine.loaded == []
