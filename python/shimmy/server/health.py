"""GET /health, /diag and /metrics."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from datetime import datetime, timezone
from importlib.util import find_spec
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shimmy.model_info import EngineStats, ModelInfo
from shimmy.server.backend import Backend
from shimmy.server.machine import gpu_vendors, memory, os_name
from shimmy.server.operation import JSON, TEXT, Family, Operation


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

    @Operation(Family.SHIMMY, "Tell that the server is up", answers={JSON: dict[str, Any]})
    async def _health(self, request: Request) -> Response:
        sources = [entry.source for entry in self._manager.registry.entries()]
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
            "timestamp": _now(),
            "uptime_seconds": round(time.monotonic() - self._start, 3),
        }
        return Response(msgspec.json.encode(health), media_type="application/json")

    @Operation(Family.SHIMMY, "Tell the counters", answers={TEXT: str, JSON: dict[str, Any]})
    async def _metrics_of(self, request: Request) -> Response:
        """Prometheus' text; JSON for whoever asks for that."""
        engines = await self._engines()
        if "application/json" in request.headers.get("accept", ""):
            return Response(msgspec.json.encode(self._summary(engines, request)), media_type="application/json")
        return Response(self._metrics.text(engines), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _engines(self) -> dict[str, EngineStats]:
        """The counters of every loaded model."""
        found: dict[str, EngineStats] = {}
        for status in self._manager.statuses():
            if (stats := await self._manager.stats(status.name)) is not None:
                found[status.name] = stats
        return found

    def _infos(self) -> list[ModelInfo]:
        """Of the models that are loaded."""
        return [status.info for status in self._manager.statuses() if status.info is not None]

    def _summary(self, engines: dict[str, EngineStats], request: Request) -> dict[str, object]:
        entries = self._manager.registry.entries()
        kinds: Counter[str] = Counter(entry.kind for entry in entries)
        n_discovered = sum(entry.source == "discovered" for entry in entries)
        gpus = gpu_vendors()
        mib = memory()
        return {
            "service": "shimmy",
            "version": self._version,
            "gpu_detected": bool(gpus),
            "gpu_vendor": gpus[0] if gpus else None,
            "gpu_used": sorted({info.backend for info in self._infos() if info.n_gpu_layers > 0}),
            "models": {
                "total_count": len(entries),
                "total_size_mb": sum(entry.size_bytes for entry in entries) >> 20,
                "by_type": {
                    "discovered": n_discovered,
                    "manual": len(entries) - n_discovered,
                    **kinds,
                },
            },
            "system": {
                "memory_total_mb": mib.total,
                "memory_free_mb": mib.free,
                "memory_available_mb": mib.available,
            },
            "features": {"huggingface": find_spec("huggingface_hub") is not None},
            "endpoints": sorted({route.path for route in request.app.routes}),
            "requests_total": self._metrics.n_requests,
            "running": sum(stats.running for stats in engines.values()),
            "waiting": sum(stats.waiting for stats in engines.values()),
            "timestamp": _now(),
        }

    @Operation(Family.SHIMMY, "Tell what helps to find a fault", answers={JSON: dict[str, Any]})
    async def _diag(self, request: Request) -> Response:
        infos = self._infos()
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
            "os": os_name(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "mem_total_mb": memory().total,
            "gpus": gpu_vendors(),
            # What only a model's process knows: null and empty until one is loaded.
            "llama_cpp_commit": infos[0].llama_cpp_commit if infos else None,
            "cpu_features": infos[0].cpu_features if infos else None,
            "devices": sorted({device for info in infos for device in info.devices}),
            "backends_used": sorted({info.backend for info in infos}),
            "layers_offloaded": {info.name: info.n_gpu_layers for info in infos},
            "models": models,
        }
        return Response(msgspec.json.encode(diag), media_type="application/json")


def _described(info: msgspec.Struct) -> dict[str, object]:
    """A ModelInfo with its defaults spelled out, and without the path, which is nobody's business."""
    return {name: getattr(info, name) for name in info.__struct_fields__ if name != "path"}


def _now() -> str:
    """RFC 3339."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
