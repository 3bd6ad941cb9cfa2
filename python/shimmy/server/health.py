"""GET /health and GET /diag."""

from __future__ import annotations

import os
import platform
import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shimmy.models.manager import ModelManager


class HealthRoutes:
    """What a load balancer and a person with a problem want to know. Nothing here starts a process."""

    def __init__(self, manager: ModelManager, version: str) -> None:
        self._manager = manager
        self._version = version
        self._start = time.monotonic()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/health", self._health, methods=["GET"]),
            Route("/diag", self._diag, methods=["GET"]),
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
