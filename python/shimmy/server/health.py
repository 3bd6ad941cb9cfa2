"""GET /health, /diag and /metrics."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shimmy.model_info import EngineStats
from shimmy.server.backend import Backend


class HealthRoutes:
    """What a load balancer and a person with a problem want to know. Nothing here starts a process."""

    def __init__(self, backend: Backend, version: str) -> None:
        self._manager = backend.manager
        self._metrics = backend.metrics
        self._version = version
        self._start = time.monotonic()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/health", self._health, methods=["GET"]),
            Route("/diag", self._diag, methods=["GET"]),
            Route("/metrics", self._metrics_of, methods=["GET"]),
        ]

    async def _health(self, request: Request) -> Response:
        registry = self._manager.registry
        sources = [registry.get(name).source for name in registry.names()]
        discovered = sources.count("discovered")
        health = {
            "status": "ok",
            "service": "shimmy",
            "version": self._version,
            "models": {"total": len(sources), "discovered": discovered, "manual": len(sources) - discovered},
            "endpoints": {
                "health": "/health",
                "models": "/v1/models",
                "chat": "/v1/chat/completions",
                "generate": "/api/generate",
            },
            "compatibility": {"openai": True, "cors": True},
            "timestamp": int(time.time()),
            "uptime_seconds": round(time.monotonic() - self._start, 3),
        }
        return Response(msgspec.json.encode(health), media_type="application/json")

    async def _metrics_of(self, request: Request) -> Response:
        """Prometheus' text; JSON for whoever asks for that."""
        engines = await self._engines()
        if "application/json" in request.headers.get("accept", ""):
            return Response(msgspec.json.encode(self._summary(engines)), media_type="application/json")
        return Response(self._metrics.text(engines), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _engines(self) -> dict[str, EngineStats]:
        """The counters of every loaded model."""
        found: dict[str, EngineStats] = {}
        for status in self._manager.statuses():
            if (stats := await self._manager.stats(status.name)) is not None:
                found[status.name] = stats
        return found

    def _summary(self, engines: dict[str, EngineStats]) -> dict[str, object]:
        entries = self._manager.registry.entries()
        infos = [status.info for status in self._manager.statuses() if status.info is not None]
        gpus = sorted({info.backend for info in infos if info.n_gpu_layers > 0})
        return {
            "service": "shimmy",
            "version": self._version,
            "gpu_detected": bool(gpus),
            "gpu_vendor": gpus[0] if gpus else None,
            "models": {
                "total_count": len(entries),
                "total_size_mb": sum(entry.size_bytes for entry in entries) >> 20,
                "by_type": Counter(entry.kind for entry in entries),
            },
            "system": {"memory_total_mb": _memory_mb()},
            "requests_total": self._metrics.n_requests,
            "running": sum(stats.running for stats in engines.values()),
            "waiting": sum(stats.waiting for stats in engines.values()),
            "timestamp": int(time.time()),
        }

    async def _diag(self, request: Request) -> Response:
        models = [
            {
                "name": status.name,
                "state": status.state,
                "in_use": status.in_use,
                "last_used": status.last_used,
                "load_error": status.load_error,
                "info": None if status.info is None else _described(status.info),
            }
            for status in self._manager.statuses()
        ]
        diag = {
            "service": "shimmy",
            "version": self._version,
            "os": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "mem_total_mb": _memory_mb(),
            "models": models,
        }
        return Response(msgspec.json.encode(diag), media_type="application/json")


def _described(info: msgspec.Struct) -> dict[str, object]:
    """A ModelInfo with its defaults spelled out, and without the path, which is nobody's business."""
    return {name: getattr(info, name) for name in info.__struct_fields__ if name != "path"}


def _memory_mb() -> int | None:
    """Physical memory in MiB; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)
    except (AttributeError, OSError, ValueError):
        return None
