"""/v1/feedback and /v1/training/status: what comes in and what goes out."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class FeedbackRequest(msgspec.Struct, kw_only=True):
    query: Annotated[str, Meta(min_length=1)]
    response: str
    weight: Annotated[float, Meta(gt=0, le=1_000_000)]
    """How much it counts: 1 is an ordinary answer."""
    feedback: str | None = None
    """What was wrong or right with it."""


class FeedbackResponse(msgspec.Struct):
    status: str = "queued"


class TrainingStatus(msgspec.Struct, kw_only=True):
    """Of what this API key sent. Nothing here trains: the entries wait for a program that does."""

    training_active: bool = False
    last_training: str | None = None
    queue_length: int
    """Entries."""
    total_weight: float
    last_feedback: str | None
    """RFC 3339."""
    file: str
    """Its name in the data folder."""
