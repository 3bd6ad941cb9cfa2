"""serve() in a real process with a scripted runner: banner, answers, drain, exit code, no orphan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from fake_host import run_host
from processes import children, state
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

UNIT = Path(__file__).parents[1]

PROGRAM = """
import sys
sys.path.insert(0, {unit!r})
from fake_registry import FakeEntry, FakeRegistry
from shimmy.runner import RunnerClient, process
from shimmy.server import serve as module
from shimmy.server.address import BindError
from shimmy.settings import Settings
import msgspec

child = (sys.executable, {child!r})
start = RunnerClient.start
async def start_child(spec, progress=None):
    return await start(spec, progress, command=child)
manager = module.ModelManager
module.ModelManager = lambda registry, _, memory: manager(registry, start_child, memory)
registry = FakeRegistry(FakeEntry("m", "m.gguf"), FakeEntry("broken", "broken.gguf"))
def banner(started):
    print(msgspec.json.encode(started).decode(), flush=True)
module.DRAIN_SECONDS = {drain}
try:
    settings = Settings(bind={bind!r}, registry_url={url!r}, api_key={key!r})
    module.serve(settings, registry, preload={preload!r}, banner=banner)
except BindError as error:
    sys.exit(error.message)
"""


@contextmanager
def serving(
    preload: str | None = "m",
    bind: str = "127.0.0.1:0",
    drain: float = 30,
    url: str = "https://registry.invalid",
    key: str | None = None,
    folder: Path | None = None,
) -> Iterator[Any]:
    child = str(UNIT / "runner" / "scripted_child.py")
    program = PROGRAM.format(unit=str(UNIT), child=child, preload=preload, bind=bind, drain=drain, url=url, key=key)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def started(process: Any) -> dict[str, Any]:
    banner: dict[str, Any] = json.loads(process.stdout.readline())
    return banner


def chat(url: str, prompt: str, **fields: Any) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], **fields}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def test_banner_answer_and_clean_exit() -> None:
    with serving() as process:
        banner = started(process)
        assert banner["model"]["name"] == "m"
        assert banner["load_error"] is None
        assert chat(banner["url"], "hello").json()["choices"][0]["message"]["content"] == "hello"
        (runner,) = children(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert not psutil.pid_exists(runner)
        assert process.stdout.read() == ""


@pytest.mark.parametrize(
    ("bind", "key", "warned"),
    [("0.0.0.0:0", None, True), ("0.0.0.0:0", "a-key-for-tests", False), ("127.0.0.1:0", None, False)],
)
def test_an_open_door_is_told_of(bind: str, key: str | None, warned: bool) -> None:
    with serving(bind=bind, key=key) as process:
        started(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        told = process.stderr.read()
    warning = "0.0.0.0 can be reached from other machines and asks for no key: set SHIMMY_API_KEY, or api_keys"
    assert (warning in told) == warned


def test_a_failed_preload_does_not_stop_the_server() -> None:
    with serving(preload="broken") as process:
        banner = started(process)
        assert "bad magic" in banner["load_error"]
        assert chat(banner["url"], "hello").status_code == 200


def test_sigterm_lets_a_stream_finish() -> None:
    with serving() as process:
        url = started(process)["url"]
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(chat(url, "slow 300", stream=True)))
        thread.start()
        runner = children(process.pid)[0]
        _wait_until_running(url)
        process.send_signal(signal.SIGTERM)
        thread.join(60)
        assert process.wait(60) == 0
        assert answers[0].text.endswith("data: [DONE]\n\n")
        assert '"content":"299 "' in answers[0].text
        assert not psutil.pid_exists(runner)


def test_what_outlives_the_drain_ends_with_an_error() -> None:
    with serving(drain=0.3) as process:
        url = started(process)["url"]
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(chat(url, "slow 100000", stream=True)))
        thread.start()
        _wait_until_running(url)
        process.send_signal(signal.SIGTERM)
        thread.join(60)
        assert process.wait(60) == 0
        last = json.loads(answers[0].text.strip().split("\n\n")[-1][6:])
        assert "was closed" in last["error"]["message"]


def test_sigterm_lets_a_socket_finish_what_it_answers() -> None:
    with serving() as process:
        url = started(process)["url"].replace("http", "ws") + "/ws/generate"
        with connect(url) as idle, connect(url) as socket, connect(url) as stopped:
            for one, prompt in ((socket, "slow 300"), (stopped, "slow 100000")):
                one.send(json.dumps({"model": "m", "prompt": prompt}))
                assert one.recv(timeout=60) == "0 "
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                idle.recv(timeout=60)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            stopped.send('{"stop": true}')
            assert last_of(stopped)["done_reason"] == "cancelled"
            texts = [f"{i} " for i in range(1, 300)]
            for text in texts:
                assert socket.recv(timeout=60) == text
            assert last_of(socket)["done_reason"] == "stop"
            for one in (socket, stopped):
                with pytest.raises(ConnectionClosed) as closed:
                    one.recv(timeout=60)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_socket_that_outlives_the_drain_ends_with_an_error() -> None:
    with serving(drain=0.3) as process:
        url = started(process)["url"].replace("http", "ws") + "/ws/generate"
        with connect(url) as socket:
            socket.send(json.dumps({"model": "m", "prompt": "slow 100000"}))
            assert socket.recv(timeout=60) == "0 "
            process.send_signal(signal.SIGTERM)
            assert "was closed" in last_of(socket)["error"]
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


def last_of(socket: ClientConnection) -> dict[str, Any]:
    while True:
        frame = str(socket.recv(timeout=60))
        if frame.startswith("{"):
            last: dict[str, Any] = json.loads(frame)
            return last


def test_sigterm_ends_pulls(tmp_path: Path) -> None:
    with run_host() as host, serving(url=host.url, folder=tmp_path) as process:
        host.add_model("library/a", {"model": bytes(5000)})
        host.gate.clear()
        url = started(process)["url"]
        with httpx.stream("POST", f"{url}/api/pull", json={"model": "a"}, timeout=60) as answer:
            told = map(json.loads, answer.iter_lines())
            while "digest" not in next(told):
                pass
            process.send_signal(signal.SIGTERM)
            *_, last = told
        assert "shutting down" in last["error"]
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_second_signal_does_not_wait() -> None:
    with serving() as process:
        url = started(process)["url"]
        runner = children(process.pid)[0]
        errors: list[Exception] = []

        def ask() -> None:
            try:
                chat(url, "slow 100000", stream=True)
            except httpx.HTTPError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        _wait_until_running(url)
        process.send_signal(signal.SIGTERM)
        _wait_until_drained(url)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        thread.join(60)
        end = time.monotonic() + 60
        while state(runner) is not None:  # nobody waits for it
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_stream_goes_on_when_its_runner_is_killed() -> None:
    with serving() as process:
        url = started(process)["url"]
        (runner,) = children(process.pid)
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(chat(url, "slow 300", stream=True)))
        thread.start()
        _wait_until_running(url)
        os.kill(runner, signal.SIGKILL)
        thread.join(60)
        chunks = [json.loads(line[6:]) for line in answers[0].text.split("\n\n") if line.startswith("data: {")]
        texts = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
        assert "".join(texts) == "".join(f"{i} " for i in range(300))
        assert answers[0].text.endswith("data: [DONE]\n\n")
        assert children(process.pid) != [runner]


def test_a_request_that_kills_two_runners_is_502_and_a_third_crash_503() -> None:
    with serving() as process:
        url = started(process)["url"]
        answer = chat(url, "kill SIGABRT")
        assert answer.status_code == 502
        assert "was killed by signal SIGABRT" in answer.json()["error"]["message"]
        resting = chat(url, "kill SIGABRT")
        assert resting.status_code == 503
        assert 1 <= int(resting.headers["retry-after"]) <= 5
        assert "'m' is put aside: it crashed 3 times in a row" in resting.json()["error"]["message"]
        status = httpx.get(f"{url}/api/models/m/status").json()
        assert (status["status"], status["loaded"]) == ("failed", False)
        assert "it crashed 3 times in a row" in status["error"]


def test_sigterm_to_every_process_of_the_service_drains_too() -> None:
    with serving() as process:
        url = started(process)["url"]
        (runner,) = children(process.pid)
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(chat(url, "slow 300", stream=True)))
        thread.start()
        _wait_until_running(url)
        for pid in (int(runner), process.pid):
            os.kill(pid, signal.SIGTERM)
        thread.join(60)
        assert process.wait(60) == 0
        assert answers[0].text.endswith("data: [DONE]\n\n")
        assert '"content":"299 "' in answers[0].text
        assert not psutil.pid_exists(runner)


def test_a_taken_port_is_one_line() -> None:
    with serving() as first:
        port = started(first)["url"].rpartition(":")[2]
        with serving(bind=f"127.0.0.1:{port}") as second:
            assert second.wait(60) == 1
            assert second.stderr.read().strip() == (
                f"port {port} on 127.0.0.1 is in use by another program: stop it, or choose another with --bind"
            )


def _wait_until_running(url: str) -> None:
    end = time.monotonic() + 60
    while not any(model["in_use"] for model in httpx.get(f"{url}/diag", timeout=60).json()["models"]):
        assert time.monotonic() < end, "the request did not start"


def _wait_until_drained(url: str) -> None:
    """It takes no more connections."""
    end = time.monotonic() + 60
    with suppress(httpx.ConnectError):
        while httpx.get(f"{url}/health", timeout=60):
            assert time.monotonic() < end, "the signal did not arrive"
            time.sleep(0.01)
