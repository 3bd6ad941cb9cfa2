"""A real HTTP server in a thread, over scripted engines."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1]))

from chromium import Tab, chromium
from fake_registry import FakeEntry, FakeRegistry
from scripted_engine import ScriptedEngine

from shimmy.model_info import LoadSpec
from shimmy.models import crash_history
from shimmy.models.manager import ModelManager
from shimmy.models.memory import Memory
from shimmy.models.registry import Registry
from shimmy.server.address import listen, url_of
from shimmy.server.app import create_app
from shimmy.server.reload import LiveSettings
from shimmy.server.serve import uvicorn_config
from shimmy.settings import Settings

MODEL = "m"
ENTRIES = (
    FakeEntry(MODEL, "m.gguf", "registered"),
    FakeEntry("org/chat:8b", "chat.gguf"),
    FakeEntry("broken", "broken.gguf"),
)


class RunningServer:
    """What a test sees of the server: its URL, a client, and the engines that were loaded, newest last."""

    def __init__(self, url: str, engines: list[ScriptedEngine], loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.engines = engines
        self.loop = loop
        self.http = httpx.Client(base_url=url, timeout=60)

    @property
    def engine(self) -> ScriptedEngine:
        return self.engines[-1]

    def chat(self, content: Any, **fields: Any) -> httpx.Response:
        body = {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}
        return self.http.post("/v1/chat/completions", json=body)

    def generate(self, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        return self.http.post("/api/generate", json={"model": MODEL, **fields}, headers=headers)

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the condition did not come true"
            time.sleep(0.005)


@contextmanager
def run_server(
    settings: Settings | None = None,
    entries: Sequence[FakeEntry] = ENTRIES,
    registry: Registry | None = None,
    memory: Memory | None = None,
    load: Callable[[], Settings] | None = None,
) -> Iterator[RunningServer]:
    engines: list[ScriptedEngine] = []

    async def start(spec: LoadSpec, progress: Callable[[float], None] | None) -> ScriptedEngine:
        engines.append(await ScriptedEngine.load(spec, progress))
        return engines[-1]

    allowed, crash_history.ALLOWED = crash_history.ALLOWED, 1_000_000  # these tests break engines one after the other
    manager = ModelManager(FakeRegistry(*entries) if registry is None else registry, start, memory)
    settings = settings or Settings(bind="127.0.0.1:0")
    listener = listen(settings.bind)
    app = create_app(manager, settings, live=LiveSettings(settings, load))
    server = uvicorn.Server(uvicorn_config(app, settings))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve([listener]),))
    thread.start()
    running = RunningServer(url_of(listener), engines, loop)
    try:
        running.wait_until(lambda: server.started)
        yield running
    finally:
        crash_history.ALLOWED = allowed
        running.http.close()
        server.should_exit = True
        thread.join(60)
        loop.close()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RunningServer]:
    with run_server() as server:
        yield server


@pytest.fixture
def server(shared_server: RunningServer) -> RunningServer:
    """The shared server; its engine's records are those of this test."""
    shared_server.wait_until(lambda: not any(engine.running for engine in shared_server.engines if engine.alive))
    for engine in shared_server.engines:
        engine.requests.clear()
        engine.cancelled.clear()
    return shared_server


@pytest.fixture(scope="session")
def start_server() -> Callable[..., Any]:
    return run_server


def events_of(response: httpx.Response) -> list[Any]:
    """The JSON of each data line, "[DONE]" as it is."""
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


@pytest.fixture
def events() -> Callable[[httpx.Response], list[Any]]:
    return events_of


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_tab(browser: Any, server: RunningServer) -> Iterator[Callable[..., Tab]]:
    """Opens a page of the shared server, `open_tab("/docs", color_scheme="dark")`, and fails for errors on it."""
    tabs: list[Tab] = []

    def open_one(path: str = "/", **options: Any) -> Tab:
        tabs.append(Tab(browser, server.url, **options).open(path))
        return tabs[-1]

    yield open_one
    for tab in tabs:
        tab.close()
