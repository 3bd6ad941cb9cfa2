"""shimmy: local language models with a native runtime of their own.

    from shimmy import LLM, demo_model_path

    with LLM(demo_model_path()) as llm:
        print(llm.chat([{"role": "user", "content": "Who are you?"}]).text)

Names are imported when they are first used: `import shimmy` itself loads no native code.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shimmy._core import build_info, devices
    from shimmy.async_engine import AsyncEngine
    from shimmy.completion import Completion, ToolCall
    from shimmy.demo_model import demo_adapter_paths, demo_draft_path, demo_model_path
    from shimmy.embedding import Embeddings, EmbedRequest, RankedDocument, Ranking, RerankRequest
    from shimmy.errors import (
        DecodeError,
        EngineDeadError,
        InvalidRequestError,
        ModelLoadError,
        ModelNotFoundError,
        ModelNotReadyError,
        ModelTooLargeError,
        OutOfMemoryError,
        PromptTooLongError,
        QueueFullError,
        ShimmyError,
        TemplateError,
        ToolError,
        ToolNotFoundError,
    )
    from shimmy.grammar import GrammarSpec
    from shimmy.llm import LLM
    from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
    from shimmy.output import RequestOutput, TokenLogprob, ToolCallDelta, Usage
    from shimmy.placement import Placement
    from shimmy.request import ChatPrompt, GenerateRequest
    from shimmy.session import Session

__version__ = "0.1.0"

_HOME = {
    "LLM": "llm",
    "AsyncEngine": "async_engine",
    "ChatPrompt": "request",
    "Completion": "completion",
    "DecodeError": "errors",
    "EmbedRequest": "embedding",
    "Embeddings": "embedding",
    "EngineDeadError": "errors",
    "EngineStats": "model_info",
    "GenerateRequest": "request",
    "GrammarSpec": "grammar",
    "InvalidRequestError": "errors",
    "LoadSpec": "model_info",
    "ModelInfo": "model_info",
    "ModelLoadError": "errors",
    "ModelNotFoundError": "errors",
    "ModelNotReadyError": "errors",
    "ModelTooLargeError": "errors",
    "OutOfMemoryError": "errors",
    "Placement": "placement",
    "PromptTooLongError": "errors",
    "QueueFullError": "errors",
    "RankedDocument": "embedding",
    "Ranking": "embedding",
    "RequestOutput": "output",
    "RerankRequest": "embedding",
    "Session": "session",
    "ShimmyError": "errors",
    "TemplateError": "errors",
    "TokenLogprob": "output",
    "ToolCall": "completion",
    "ToolCallDelta": "output",
    "ToolError": "errors",
    "ToolNotFoundError": "errors",
    "Usage": "output",
    "build_info": "_core",
    "demo_adapter_paths": "demo_model",
    "demo_draft_path": "demo_model",
    "demo_model_path": "demo_model",
    "devices": "_core",
}

__all__ = [
    "LLM",
    "AsyncEngine",
    "ChatPrompt",
    "Completion",
    "DecodeError",
    "EmbedRequest",
    "Embeddings",
    "EngineDeadError",
    "EngineStats",
    "GenerateRequest",
    "GrammarSpec",
    "InvalidRequestError",
    "LoadSpec",
    "ModelInfo",
    "ModelLoadError",
    "ModelNotFoundError",
    "ModelNotReadyError",
    "ModelTooLargeError",
    "OutOfMemoryError",
    "Placement",
    "PromptTooLongError",
    "QueueFullError",
    "RankedDocument",
    "Ranking",
    "RequestOutput",
    "RerankRequest",
    "Session",
    "ShimmyError",
    "TemplateError",
    "TokenLogprob",
    "ToolCall",
    "ToolCallDelta",
    "ToolError",
    "ToolNotFoundError",
    "Usage",
    "build_info",
    "demo_adapter_paths",
    "demo_draft_path",
    "demo_model_path",
    "devices",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
