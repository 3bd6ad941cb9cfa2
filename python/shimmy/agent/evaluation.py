"""How much work may still be done for one result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shimmy.errors import ToolError

MAX_STEPS = 1_000_000
"""That one evaluation, all placeholders of one step, or one transformation may take."""


class Evaluation:
    """The scope of an evaluation, and how many steps it may still take."""

    def __init__(self, scope: Mapping[str, Any], steps: int = MAX_STEPS) -> None:
        self.scope = scope
        self._left = steps
        self._cancelled = False

    def spend(self, steps: int) -> None:
        """ToolError when they are more than are left, or nobody waits for the result any more."""
        self._left -= steps
        if self._left < 0:
            raise ToolError(f"the work takes more than {MAX_STEPS} steps")
        if self._cancelled:
            raise ToolError("the work was cancelled")

    def cancel(self) -> None:
        """From any thread: the next step is the last."""
        self._cancelled = True
