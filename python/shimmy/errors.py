"""The errors that shimmy raises, all of them.

::

    ShimmyError
    ├─ InvalidRequestError (ValueError)      a request that can never succeed as it is; `param` names the field
    │  └─ PromptTooLongError                 prompt does not fit: `n_prompt_tokens` and `n_ctx` hold both numbers
    ├─ ModelNotFoundError (LookupError)      no model or adapter of that name; the message lists what there is
    ├─ ModelLoadError                        a file could not be loaded; the message says what is wrong with it
    │  └─ ModelTooLargeError                 the memory that models may take can never hold it
    ├─ TemplateError                         a chat template does not parse or refused the messages
    ├─ QueueFullError                        too many waiting requests; `retry_after` seconds is a fair guess
    ├─ ModelNotReadyError                    loading or shutting down; try again
    ├─ DecodeError                           a request could not be computed; one llama_decode/llama_encode call failed
    │  └─ OutOfMemoryError                   there was no memory to compute it in; others go on
    ├─ ToolError                             a tool, or a step of a workflow, could not do its work
    ├─ ToolNotFoundError (LookupError)       no tool of that name; the message lists what there is
    └─ EngineDeadError                       the engine or its process ended; sticky for that engine

`shimmy._core` raises these classes, and the runner sends them over its pipe by class name. Nothing else escapes the
public API on purpose, except TypeError for arguments of the wrong type and OSError for files that cannot be opened.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "DecodeError",
    "EngineDeadError",
    "InvalidRequestError",
    "ModelLoadError",
    "ModelNotFoundError",
    "ModelNotReadyError",
    "ModelTooLargeError",
    "OutOfMemoryError",
    "PromptTooLongError",
    "QueueFullError",
    "ShimmyError",
    "TemplateError",
    "ToolError",
    "ToolNotFoundError",
]


class ShimmyError(Exception):
    """Base of every error that shimmy raises on purpose."""

    #: keyword fields that travel with the message (see `runner.frames`)
    fields: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequestError(ShimmyError, ValueError):
    """The request can never succeed as it is. `param` is the name of the field at fault, when there is one."""

    fields: ClassVar[tuple[str, ...]] = ("param",)

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class PromptTooLongError(InvalidRequestError):
    """The prompt has `n_prompt_tokens` tokens and the context holds `n_ctx`."""

    fields: ClassVar[tuple[str, ...]] = ("param", "n_prompt_tokens", "n_ctx")

    def __init__(self, message: str, param: str | None = "messages", n_prompt_tokens: int = 0, n_ctx: int = 0) -> None:
        super().__init__(message, param)
        self.n_prompt_tokens = n_prompt_tokens
        self.n_ctx = n_ctx


class ModelNotFoundError(ShimmyError, LookupError):
    """No model (or adapter) of that name."""


class ModelLoadError(ShimmyError):
    """A model or adapter file could not be loaded."""


class ModelTooLargeError(ModelLoadError):
    """The memory budget can never hold the model as it is set up; the message has the numbers."""


class TemplateError(ShimmyError):
    """A chat template does not parse, or refused the messages."""


class QueueFullError(ShimmyError):
    """Too many waiting requests. `retry_after` is in seconds."""

    fields = ("retry_after",)

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelNotReadyError(ShimmyError):
    """The model is loading, shutting down or put aside. `retry_after` is in seconds."""

    fields = ("retry_after",)

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DecodeError(ShimmyError):
    """One llama_decode or llama_encode call failed."""


class OutOfMemoryError(DecodeError):
    """No memory was left to compute a request in; the message has the numbers. A shorter one may still work."""


class ToolError(ShimmyError):
    """A tool, or a step of a workflow, could not do its work; the message is for whoever called it."""


class ToolNotFoundError(ShimmyError, LookupError):
    """No tool of that name."""


class EngineDeadError(ShimmyError):
    """The engine met a fatal error, or its process ended. Every later call on that engine raises this too."""
