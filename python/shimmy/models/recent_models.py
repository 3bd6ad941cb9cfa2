"""Which models were used last, kept on disk from one start of the server to the next."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from shimmy.library.new_file import write_file

MOST = 64
_MAX_FILE_BYTES = 256 * 1024

logger = logging.getLogger("shimmy.models")


class RecentModels:
    """A file of names and Unix times. Trouble with it is logged and stops nobody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: dict[str, float] | None = None

    def names(self) -> list[str]:
        """The model used last comes first."""
        known = self._read()
        return sorted(known, key=lambda name: -known[name])

    def save(self, used: Mapping[str, float]) -> None:
        """Add when models were used; the `MOST` used last stay. Writes only what is new, whole or not at all."""
        known = self._read()
        merged = {name: max(used.get(name, 0.0), known.get(name, 0.0)) for name in {**known, **used}}
        kept = dict(sorted(merged.items(), key=lambda item: -item[1])[:MOST])
        if kept == known:
            return
        try:
            write_file(self._path, msgspec.json.encode(kept))
        except OSError as error:
            logger.warning("the models used last cannot be remembered in %s: %s", self._path, error.strerror)
            return
        self._saved = kept

    def _read(self) -> dict[str, float]:
        if self._saved is not None:
            return self._saved
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=dict[str, float])
        except FileNotFoundError:
            return {}
        except OSError as error:
            logger.warning("%s cannot be read: %s", self._path, error.strerror)
        except (msgspec.DecodeError, UnicodeDecodeError):
            logger.warning("%s is damaged and is begun anew", self._path)
        return {}
