"""GET /v1/models."""

from __future__ import annotations

import msgspec


class ModelObject(msgspec.Struct, kw_only=True):
    id: str
    object: str = "model"
    created: int
    owned_by: str = "shimmy"


class ModelList(msgspec.Struct, kw_only=True):
    object: str = "list"
    data: list[ModelObject]
