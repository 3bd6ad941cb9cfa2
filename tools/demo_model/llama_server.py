"""Greedy completions through llama.cpp's server."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .heldout import MAX_NEW


class LlamaServer:
    """A llama-server process on a free local port."""

    def __init__(self, binary: Path, model: Path, options: Sequence[str] = ()) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [
            str(binary),
            "-m",
            str(model),
            "--port",
            str(port),
            "-c",
            "8192",
            "-np",
            "4",
            "-t",
            "1",
            "--no-webui",
            *options,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try:
                if self.get("/health").get("status") == "ok":
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                raise RuntimeError(f"{binary} ended with status {self.process.returncode}")
            time.sleep(0.2)
        raise RuntimeError(f"{binary} did not answer on {self.url} within 60 s")

    def get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=10) as reply:
            return json.load(reply)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=1800) as reply:
            return json.load(reply)

    def complete(self, prompts: Sequence[str]) -> list[str]:
        def one(prompt: str) -> str:
            return self.post("/completion", {"prompt": prompt, "temperature": 0, "n_predict": MAX_NEW})["content"]

        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(one, prompts))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
