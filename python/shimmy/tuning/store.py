"""Where winners are kept between runs: a file for each, in the platform's folder for caches."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from pathlib import Path

import msgspec

from shimmy.tuning.winner import Identity, Winner

VERSION = 1
"""To be raised when the fields, or what was measured, change."""
MAX_FILE_BYTES = 1024 * 1024

logger = logging.getLogger("shimmy.tuning")


class _Contents(msgspec.Struct, frozen=True):
    version: int
    winner: msgspec.Raw


def store_path() -> Path:
    """The folder; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("shimmy", appauthor=False)) / "tuning"


class Store:
    """Winners by identity. A file that is damaged, foreign or of another version counts as absent and is left alone."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = store_path() if folder is None else folder

    @property
    def empty(self) -> bool:
        """Whether there is no file at all: then nothing needs to be identified to look for it."""
        return not self._files()

    def find(self, identity: Identity) -> Winner | None:
        """The winner for exactly this identity."""
        winner = _read(self._file(identity))
        return winner if winner is not None and winner.identity == identity else None

    def all(self) -> list[Winner]:
        """Every winner, of other models, machines and builds too, the newest first."""
        found = [winner for path in self._files() if (winner := _read(path)) is not None]
        return sorted(found, key=lambda winner: winner.created, reverse=True)

    def save(self, winner: Winner) -> Path:
        """Keep `winner` in place of what was known; whole or not at all. Raises OSError."""
        path = self._file(winner.identity)
        contents = _Contents(VERSION, msgspec.Raw(msgspec.json.encode(winner)))
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(contents)))
            os.replace(temporary, path)  # noqa: PTH105 - of the string that mkstemp gives
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            raise
        return path

    def remove(self, identity: Identity) -> bool:
        """Forget one; False when there is none. Raises OSError."""
        if self.find(identity) is None:
            return False
        self._file(identity).unlink(missing_ok=True)
        return True

    def clear(self) -> int:
        """Forget all that `all` gives, and say how many. Raises OSError."""
        paths = [path for path in self._files() if _read(path) is not None]
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def _file(self, identity: Identity) -> Path:
        return self.folder / f"{identity.digest}.json"

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == ".json")
        except OSError:
            return []


def _read(path: Path) -> Winner | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES} bytes")
        contents = msgspec.json.decode(data, type=_Contents)
        if contents.version != VERSION:
            return None
        winner = msgspec.json.decode(contents.winner, type=Winner)
        if path.stem != winner.identity.digest:
            raise ValueError("its name is not that of what it holds")
        return winner
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        logger.info("%s is not used: %s", path, error)
        return None
