"""POST /api/workflows/execute: what comes in."""

from __future__ import annotations

from typing import Any

import msgspec

from shimmy.agent.workflow import Workflow
from shimmy.server.schemas.model_name import ModelName
from shimmy.server.schemas.native import NativeRequest


class WorkflowRequest(msgspec.Struct, kw_only=True):
    workflow: Workflow
    context: dict[str, Any] = {}
    """Variables."""


class LlmParameters(NativeRequest, kw_only=True):
    """Parameters of an llm step: those of /api/generate, but that `prompt` is what a user says unless `raw`."""

    model: ModelName = ""
    """Empty: the one that was used last, else the first that can chat."""
    raw: bool = False
