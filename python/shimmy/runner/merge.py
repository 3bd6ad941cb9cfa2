"""Several outputs of one request as one: what a slow reader gets instead of a long queue."""

from __future__ import annotations

from collections.abc import Sequence

from shimmy.output import RequestOutput, TokenLogprob, ToolCallDelta


def merge_outputs(outputs: Sequence[RequestOutput]) -> RequestOutput:
    """`outputs` (at least one, in order, of one request) joined; reading it says the same as reading them all."""
    if len(outputs) == 1:
        return outputs[0]
    tool_calls: list[ToolCallDelta] = []
    token_ids: list[int] = []
    logprobs: list[TokenLogprob] = []
    prompt_logprobs: list[TokenLogprob] = []
    for output in outputs:
        token_ids += output.token_ids
        logprobs += output.logprobs
        prompt_logprobs += output.prompt_logprobs
        for delta in output.tool_calls:
            _append_delta(tool_calls, delta)
    last = outputs[-1]
    return RequestOutput(
        request_id=last.request_id,
        text="".join(output.text for output in outputs),
        reasoning="".join(output.reasoning for output in outputs),
        tool_calls=tool_calls,
        token_ids=token_ids,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        finish_reason=last.finish_reason,
        stop_reason=last.stop_reason,
        usage=last.usage or next((output.usage for output in outputs if output.usage), None),
    )


def _append_delta(deltas: list[ToolCallDelta], delta: ToolCallDelta) -> None:
    if deltas and deltas[-1].index == delta.index and delta.id is None and delta.name is None:
        first = deltas[-1]
        deltas[-1] = ToolCallDelta(first.index, first.arguments + delta.arguments, first.id, first.name)
    else:
        deltas.append(delta)
