"""Outputs of one request that pile up, kept small and joined in linear time."""

from __future__ import annotations

import sys

from shimmy.output import RequestOutput
from shimmy.runner.merge import merge_outputs

_OUTPUT_BYTES = 256
_TOKEN_BYTES = 40
_SCORED_BYTES = 200
_ALTERNATIVE_BYTES = 176
"""About what an output, a token, a log-probability and each of its alternatives take in memory."""


class Pile:
    """What is added is copied once while it waits and once when it is taken, however much there is."""

    MAX_OUTPUTS = 64

    def __init__(self) -> None:
        self._merged: list[RequestOutput] = []
        self._last: list[RequestOutput] = []
        self._content_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._last or self._merged)

    @property
    def n_bytes(self) -> int:
        """About what it takes in memory."""
        return self._content_bytes + _OUTPUT_BYTES * (len(self._merged) + len(self._last))

    def add(self, output: RequestOutput) -> None:
        self._last.append(output)
        self._content_bytes += content_bytes(output)
        if len(self._last) >= self.MAX_OUTPUTS:
            self._merged.append(merge_outputs(self._last))
            self._last = []

    def take(self) -> RequestOutput:
        """All of it as one output, of at least one that was added."""
        outputs = [*self._merged, *self._last]
        self._merged, self._last, self._content_bytes = [], [], 0
        return merge_outputs(outputs)


def content_bytes(output: RequestOutput) -> int:
    """About what an output holds in memory, beside itself."""
    n_bytes = sys.getsizeof(output.text) + sys.getsizeof(output.reasoning) + _TOKEN_BYTES * len(output.token_ids)
    for call in output.tool_calls:
        n_bytes += _SCORED_BYTES + sys.getsizeof(call.arguments)
    for scored in (*output.logprobs, *output.prompt_logprobs):
        n_bytes += _SCORED_BYTES + _ALTERNATIVE_BYTES * len(scored.top)
    return n_bytes
