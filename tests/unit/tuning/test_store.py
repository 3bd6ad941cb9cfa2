from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from shimmy.tuning.duel import Gain
from shimmy.tuning.search import Trial
from shimmy.tuning.setup import Setup
from shimmy.tuning.store import MAX_FILE_BYTES, VERSION, Store
from shimmy.tuning.winner import Identity, Speed, Winner


def winner(model: str = "qwen3", created: str = "2026-11-21T10:00:00Z", **setup: object) -> Winner:
    gain = Gain(1.3, 1.2, 1.4)
    return Winner(
        identity=Identity(model=model, machine="a CPU, 2 CPUs", build="1.0"),
        setup=Setup(**{"flash_attn": "off", **setup}),  # type: ignore[arg-type]
        created=created,
        seconds=40.0,
        depth=4096,
        busy=0.1,
        speeds={"deep decode": Speed(default_rate=20.0, spread=0.02, gain=gain)},
        trials=[Trial(group="attention", name="flash attention off", outcome="better", rounds=4, gains={"d": gain})],
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache" / "tuning")


def test_what_is_saved_is_found_again(store: Store) -> None:
    one = winner()
    assert store.empty
    path = store.save(one)
    assert not store.empty
    assert store.find(one.identity) == one
    assert path.parent == store.folder
    assert [file.name for file in store.folder.iterdir()] == [f"{one.identity.digest}.json"]


def test_a_new_winner_takes_the_place_of_the_old(store: Store) -> None:
    store.save(winner())
    store.save(winner(poll=100))
    assert store.find(winner().identity) == winner(poll=100)
    assert len(store.all()) == 1


@pytest.mark.parametrize("field", ["model", "machine", "build", "placement"])
def test_another_model_machine_build_or_placement_has_its_own(store: Store, field: str) -> None:
    store.save(winner())
    assert store.find(msgspec.structs.replace(winner().identity, **{field: "other"})) is None


def test_all_the_newest_first(store: Store) -> None:
    for number, name in enumerate("acb"):
        store.save(winner(name, created=f"2026-11-2{number}T10:00:00Z"))
    assert [one.identity.model for one in store.all()] == ["b", "c", "a"]


def test_an_empty_store(store: Store) -> None:
    assert (store.find(winner().identity), store.all(), store.clear()) == (None, [], 0)
    assert not store.remove(winner().identity)


def damaged() -> dict[str, bytes]:
    whole = msgspec.json.encode(winner())
    contents = b'{"version": %d, "winner": %s}'
    return {
        "empty": b"",
        "cut off": (contents % (VERSION, whole))[:-40],
        "no JSON": b"\xff\xfe\x00",
        "another version": contents % (VERSION + 1, b'{"anything": 1}'),
        "a field of another type": contents % (VERSION, whole.replace(b"40.0", b'"soon"')),
        "an option that cannot be tuned": contents % (VERSION, whole.replace(b"flash_attn", b"devices")),
        "a value that does not exist": contents % (VERSION, whole.replace(b'"off"', b'"maybe"')),
        "another model's": contents % (VERSION, whole.replace(b"qwen3", b"llama")),
        "too large": contents % (VERSION, whole) + b" " * MAX_FILE_BYTES,
        "deep": b"[" * 100_000,
    }


@pytest.mark.parametrize("kind", damaged())
def test_damaged_and_foreign_files_count_as_absent_and_stay(store: Store, kind: str) -> None:
    identity = winner().identity
    path = store.save(winner())
    path.write_bytes(damaged()[kind])
    assert store.find(identity) is None
    assert store.all() == []
    assert store.clear() == 0
    assert path.exists()
    store.save(winner())
    assert store.find(identity) == winner()


def test_clear_leaves_what_is_not_ours(store: Store) -> None:
    store.save(winner("a"))
    store.save(winner("b"))
    (store.folder / "notes.txt").write_text("mine")
    (store.folder / "other.json").write_text("{}")
    assert store.remove(winner("a").identity)
    assert store.clear() == 1
    assert sorted(path.name for path in store.folder.iterdir()) == ["notes.txt", "other.json"]


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        Store(tmp_path / "file").save(winner())


def test_readers_never_see_half_a_file(store: Store) -> None:
    """One writes over and over while another reads."""
    store.save(winner())
    stop = threading.Event()

    def write() -> None:
        for number in range(100):
            store.save(winner(poll=number))
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        assert store.find(winner().identity) is not None
    writer.join()
    assert [path.suffix for path in store.folder.iterdir()] == [".json"]
