"""What a request calls a model."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shimmy.models.adapter_names import MAX_NAME

ModelName = Annotated[str, Meta(max_length=MAX_NAME)]
