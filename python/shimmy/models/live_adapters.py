"""The LoRA adapters of one running model: loaded when they are wanted, and again when their files have changed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from shimmy.engine_client import EngineClient
from shimmy.errors import EngineDeadError, InvalidRequestError, ModelLoadError, ShimmyError

Files: TypeAlias = Callable[[], Mapping[str, str]]
"""The adapters that a model has now: name -> file."""

logger = logging.getLogger("shimmy.models")


class Version(NamedTuple):
    """One state of a file. Another one is another file, or has another size or time of change."""

    path: str
    size: int = -1
    mtime_ns: int = -1
    inode: int = -1

    @property
    def missing(self) -> bool:
        return self.size < 0


def versions(files: Mapping[str, str]) -> dict[str, Version]:
    """Of each file as it is now; asks the disk."""
    found: dict[str, Version] = {}
    for name, path in files.items():
        try:
            status = os.stat(path)  # noqa: PTH116 - for each request: a Path would take longer than the call
        except (OSError, ValueError):
            found[name] = Version(path)
        else:
            found[name] = Version(path, status.st_size, status.st_mtime_ns, status.st_ino)
    return found


class LiveAdapters:
    """What the engine of one model holds. Requests that run keep the adapters that they began with."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._client: EngineClient | None = None
        self._held: dict[str, Version] = {}
        self._refused: dict[str, tuple[Version, str]] = {}
        self._changing = asyncio.Lock()

    @property
    def faults(self) -> dict[str, str]:
        """Why a file as it is now could not be loaded, by the adapter's name."""
        return {name: message for name, (_, message) in self._refused.items()}

    def begin(self, client: EngineClient, held: Mapping[str, Version]) -> None:
        """A new engine, which loaded these."""
        self._client = client
        self._held = dict(held)

    async def unchanged(self) -> dict[str, Version]:
        """Of what is held those whose files are as they were."""
        files = self._files()
        now = await asyncio.to_thread(versions, {name: files[name] for name in self._held if name in files})
        return {name: version for name, version in now.items() if self._held.get(name) == version}

    async def begin_again(self, client: EngineClient, held: Mapping[str, Version]) -> None:
        """A new engine, which loaded these, in place of one that died: it gets what else that one had. One that cannot
        be loaded any more is left out until it is wanted. EngineDeadError when this one dies too.
        """
        before = list(self._held)
        self.begin(client, held)
        for name in before:
            try:
                await self.prepare(client, [name])
            except EngineDeadError:
                raise
            except ShimmyError as error:
                logger.warning("model %s goes on without adapter %s: %s", client.info.name, name, error.message)

    async def prepare(self, client: EngineClient, names: Iterable[str]) -> None:
        """Have `client` hold these adapters as their files are now. Names that the model does not have are left to the
        engine, which knows them or refuses the request.

        A file that has gone, or has become one that cannot be loaded, leaves what was loaded of it before. Without that
        it is a ModelLoadError. EngineDeadError when the engine dies.
        """
        files = self._files()
        wanted = {name: files[name] for name in names if name in files}
        if not wanted:
            return
        for name, version in (await asyncio.to_thread(versions, wanted)).items():
            if self._is_current(client, name, version):
                continue
            async with self._changing:
                if not self._is_current(client, name, version):
                    await self._renew(client, name, version)

    async def load(self, client: EngineClient, name: str, path: str) -> None:
        """Load a file under a name now, whatever that name meant. Raises what `EngineClient.load_adapter` does; then
        nothing has changed.
        """
        async with self._changing:
            version = (await asyncio.to_thread(versions, {name: path}))[name]
            await client.load_adapter(name, path)
            self._take(client, name, version)

    async def unload(self, client: EngineClient, name: str) -> None:
        """Nothing when it is not loaded. EngineDeadError when the engine dies."""
        async with self._changing:
            self._refused.pop(name, None)
            if client is self._client and self._held.pop(name, None) is not None:
                await client.unload_adapter(name)

    def _is_current(self, client: EngineClient, name: str, version: Version) -> bool:
        if client is not self._client or name not in self._held:
            return False
        refused, _ = self._refused.get(name, (None, ""))
        return self._held[name] == version or version.missing or refused == version

    async def _renew(self, client: EngineClient, name: str, version: Version) -> None:
        try:
            await client.load_adapter(name, version.path)
        except (ModelLoadError, InvalidRequestError) as error:
            self._refused[name] = version, error.message
            if name not in self._held or client is not self._client:
                raise
            logger.warning("model %s keeps adapter %s as it was: %s", client.info.name, name, error.message)
        else:
            self._take(client, name, version)

    def _take(self, client: EngineClient, name: str, version: Version) -> None:
        if client is not self._client:
            return
        if name in self._held:
            logger.info("model %s: adapter %s was replaced", client.info.name, name)
        self._held[name] = version  # as it was before it was read: what changed meanwhile is another version
        self._refused.pop(name, None)
