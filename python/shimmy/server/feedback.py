"""POST /v1/feedback, and GET and POST /v1/training/status."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.server.auth import tenant
from shimmy.server.endpoint import Call, Endpoint, Reply, reading
from shimmy.server.errors import openai_error
from shimmy.server.feedback_store import FILE_NAME, Feedback, FeedbackStore
from shimmy.server.operation import JSON, Family, Operation
from shimmy.server.schemas.feedback import FeedbackRequest, FeedbackResponse, TrainingStatus


class FeedbackRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, store: FeedbackStore, max_body_bytes: int) -> None:
        self._store = store
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        add = Endpoint(self._add, openai_error, self._max_body_bytes)
        return [
            Route("/v1/feedback", add, methods=["POST"]),
            Route("/v1/training/status", reading(self._status, openai_error), methods=["GET", "POST"]),
        ]

    @Operation(
        Family.SHIMMY,
        "Say how good an answer was",
        body=FeedbackRequest,
        example={"query": "What is the capital of France?", "response": "Paris.", "weight": 1.0},
        answers={JSON: FeedbackResponse},
        errors=(409, 503),
    )
    async def _add(self, call: Call) -> Reply:
        body = await call.body.decode(FeedbackRequest)
        entry = Feedback(
            query=body.query,
            response=body.response,
            weight=body.weight,
            feedback=body.feedback,
            time=datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            key=tenant.get(),
        )
        await asyncio.to_thread(self._store.add, entry)
        return Reply(msgspec.json.encode(FeedbackResponse()))

    @Operation(Family.SHIMMY, "Tell what feedback is kept", answers={JSON: TrainingStatus}, errors=(503,))
    async def _status(self, request: Request) -> TrainingStatus:
        totals = await asyncio.to_thread(self._store.totals, tenant.get())
        return TrainingStatus(
            queue_length=totals.entries, total_weight=totals.weight, last_feedback=totals.last, file=FILE_NAME
        )
