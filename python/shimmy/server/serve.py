"""Run the server in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TypeAlias

import msgspec
import uvicorn
from starlette.types import ASGIApp

from shimmy.engine_client import EngineClient
from shimmy.errors import ShimmyError
from shimmy.model_info import LoadSpec, ModelInfo
from shimmy.models.follow import check_can_follow, follow
from shimmy.models.manager import ModelManager
from shimmy.models.memory import Memory
from shimmy.models.recent_models import RecentModels
from shimmy.models.registry import Registry
from shimmy.models.supervisor import Progress
from shimmy.runner import RunnerClient
from shimmy.server.address import BACKLOG, listen, url_of
from shimmy.server.app import create_app
from shimmy.server.auth import keys_of
from shimmy.server.connection import connection_type
from shimmy.server.connection_limit import raise_file_limit
from shimmy.server.machine import gpu_vendors
from shimmy.server.preload import Preload
from shimmy.server.reload import LiveSettings
from shimmy.server.socket_connection import SocketConnection
from shimmy.settings import Settings, state_path

DRAIN_SECONDS = 30
"""How long running answers may take after SIGTERM; then they end with an error."""

_LAST_WORDS_SECONDS = 5

logger = logging.getLogger("shimmy.server")


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to tell once the server listens and the preloaded model, if any, is ready or has failed."""

    url: str
    model: ModelInfo | None = None
    load_error: str | None = None


Banner: TypeAlias = Callable[[Started], None]


def serve(
    settings: Settings,
    registry: Registry,
    *,
    preload: str | None = None,
    banner: Banner | None = None,
    load: Callable[[], Settings] | None = None,
) -> None:
    """Listen as `settings.bind` says and serve `registry`'s models; returns after SIGINT or SIGTERM. SIGHUP reads the
    settings again, with `load`; but where it says that the terminal has gone, it ends the server too.

    `preload` names a model to load at once; requests are answered meanwhile, and a failure only shows in `banner` and
    the log. Raises BindError when the address cannot be used. A second signal stops without waiting for answers.
    """
    raise_file_limit()
    listener = listen(settings.bind)
    host = listener.getsockname()[0]
    if not keys_of(settings) and not ipaddress.ip_address(host).is_loopback:
        logger.warning(
            "%s can be reached from other machines and asks for no key: set SHIMMY_API_KEY, or api_keys", host
        )
    if settings.watch:
        check_can_follow()
    live = LiveSettings(settings, load)

    def start(spec: LoadSpec, progress: Progress | None = None) -> Awaitable[EngineClient]:
        return RunnerClient.start(spec, progress, hang_seconds=live.now.hang_seconds)

    memory = Memory(
        settings.memory_budget_bytes,
        settings.vram_budget_bytes,
        gpus=bool(gpu_vendors()),
    )
    manager = ModelManager(registry, start, memory)
    recent = RecentModels((settings.data_dir or state_path()) / "recent.json")
    app = create_app(manager, settings, live=live)
    server = _Server(
        uvicorn_config(app, settings),
        manager,
        preload,
        Preload(manager, recent, settings.preload) if settings.preload else None,
        banner,
        app.state.begin_shutdown,
        app.state.reload,
        follows=settings.watch,
    )
    server.run(sockets=[listener])


def uvicorn_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves us."""
    return uvicorn.Config(
        app,
        loop="asyncio" if sys.platform == "win32" else "uvloop",
        http=connection_type(settings),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        ws=SocketConnection,
        ws_max_size=settings.max_body_bytes,
        ws_ping_interval=settings.ws_ping_seconds,
        ws_ping_timeout=settings.ws_ping_seconds,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=DRAIN_SECONDS + _LAST_WORDS_SECONDS,
    )


class _Server(uvicorn.Server):
    """uvicorn that preloads, announces itself, ends what outlives the drain, and exits with code 0 on a signal."""

    def __init__(
        self,
        config: uvicorn.Config,
        manager: ModelManager,
        preload: str | None,
        recent: Preload | None,
        banner: Banner | None,
        begin_shutdown: Callable[[], None],
        reload: Callable[[], Awaitable[None]],
        *,
        follows: bool,
    ) -> None:
        super().__init__(config)
        self._manager = manager
        self._preload = preload
        self._recent = recent
        self._banner = banner
        self._begin_shutdown = begin_shutdown
        self._reload = reload
        self._outlives_terminal = _ignores_hangup() or not _has_terminal()
        self._follows = follows
        self._beside: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        url = url_of(sockets[0]) if sockets else ""
        self._beside.append(asyncio.ensure_future(self._announce(url)))
        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)
        if self._follows:
            self._beside.append(asyncio.ensure_future(follow(self._manager)))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._begin_shutdown()
        deadline = asyncio.ensure_future(self._end_streams())
        try:
            await super().shutdown(sockets)
        finally:
            deadline.cancel()
            for task in self._beside:
                task.cancel()
            if self._recent is not None:
                await asyncio.to_thread(self._recent.save)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own would raise the signal again at the end, and the process would not exit with code 0.
        self.force_exit = self.should_exit
        self.should_exit = True

    def _hang_up(self) -> None:
        """SIGHUP: from a person or a service manager, or from the system when the terminal was closed."""
        if not self._outlives_terminal and not _has_terminal():
            self.handle_exit(signal.SIGHUP, None)
        else:
            self._beside = [task for task in self._beside if not task.done()]
            self._beside.append(asyncio.ensure_future(self._reload()))

    async def _announce(self, url: str) -> None:
        model, load_error = None, None
        if self._preload is not None:
            try:
                model = (await self._manager.get(self._preload)).info
            except ShimmyError as error:
                load_error = error.message
                logger.error("model %s: %s", self._preload, load_error)
        if self._banner is not None:
            self._banner(Started(url=url, model=model, load_error=load_error))
        if self._recent is not None:
            await self._recent.run()

    async def _end_streams(self) -> None:
        await asyncio.sleep(DRAIN_SECONDS)
        logger.warning("answers still running after %d s are ended", DRAIN_SECONDS)
        await self._manager.close()


def _ignores_hangup() -> bool:
    """Started by nohup, or the like."""
    return sys.platform != "win32" and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def _has_terminal() -> bool:
    if sys.platform == "win32":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
