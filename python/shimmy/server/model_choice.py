"""The model that a caller means who names none."""

from __future__ import annotations

from shimmy.errors import InvalidRequestError
from shimmy.models.manager import ModelManager


def model_meant(manager: ModelManager, name: str | None) -> str:
    """`name`, else the model that is loaded, or the only one there is. InvalidRequestError when there are several."""
    if name is not None:
        return name
    loaded = [status.name for status in manager.statuses() if status.info is not None]
    known = loaded or manager.registry.names()
    if len(known) != 1:
        raise InvalidRequestError(f"model is required: there are {', '.join(known) or 'none'}", "model")
    return known[0]
