"""Keeping the registry in step with the disk while the server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from shimmy.errors import ShimmyError
from shimmy.models.manager import ModelManager
from shimmy.models.registry import Registry
from shimmy.settings import SettingsError

if TYPE_CHECKING:
    from watchfiles import Change

LOOK_MS = 10_000
"""How often it is looked whether folders to search have come or gone."""
SETTLE_MS = 1_600
"""How long changes are gathered before a search."""

logger = logging.getLogger("shimmy.models")


def check_can_follow() -> None:
    """Raises SettingsError when watchfiles is not installed."""
    if find_spec("watchfiles") is None:
        raise SettingsError('watch needs the package watchfiles: pip install "shimmy-llm[watch]"')


async def follow(manager: ModelManager, *, settle_ms: int = SETTLE_MS, look_ms: int = LOOK_MS) -> None:
    """Search again, on another thread, whenever a model or the settings file changes; until cancelled.

    Engines of models that changed are freed. A search that fails leaves everything as it is and is logged. Where the
    system refuses to watch, that is logged and this returns.
    """
    from watchfiles import Change, awatch

    registry = manager.registry
    while True:
        folders = await asyncio.to_thread(_folders, registry)
        if not folders:
            await asyncio.sleep(look_ms / 1000)
            continue
        watched = {str(folder) for folder in folders}
        fresh = True  # what changed before the watch began is not told
        try:
            async for changes in awatch(
                *folders,
                watch_filter=_matters(registry, watched),
                debounce=settle_ms,
                rust_timeout=look_ms,
                yield_on_timeout=True,
                ignore_permission_denied=True,
            ):
                # A folder that was made anew is another one, although its path is the same.
                moved = any(change is Change.deleted and path in watched for change, path in changes)
                moved = moved or await asyncio.to_thread(_folders, registry) != folders
                if changes or moved or fresh:
                    await _rescan(manager)
                fresh = False
                if moved:
                    break
        except FileNotFoundError:  # one that went before it was watched
            continue
        except (OSError, RuntimeError) as error:
            logger.warning("changes on disk are not followed any more: %s", error)
            return


async def _rescan(manager: ModelManager) -> None:
    try:
        await manager.rescan()
    except (ShimmyError, OSError) as error:
        logger.error("the models stay as they were found before: %s", error)
    else:
        logger.info("searched again: %d models", len(manager.registry.entries()))


def _folders(registry: Registry) -> list[Path]:
    """Those to search that are there, and that of the settings file."""
    wanted = [root.path.absolute() for root in registry.roots]
    if registry.settings_path is not None:
        wanted.append(registry.settings_path.absolute().parent)
    return [folder for folder in dict.fromkeys(wanted) if _is_folder(folder)]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _matters(registry: Registry, watched: set[str]) -> Callable[[Change, str], bool]:
    """Tells changes that can be of models: of GGUF files, adapters, manifests, the settings file, whole folders."""
    settings = str(registry.settings_path.absolute()) if registry.settings_path else ""

    def matters(change: Change, path: str) -> bool:
        name = Path(path).name.lower()
        if path == settings or path in watched or name.endswith((".gguf", ".safetensors")):
            return True
        # Ollama's blobs come bit by bit, its manifest at the end.
        return "manifests" in Path(path).parts or ("." not in name and not name.startswith("sha256"))

    return matters
