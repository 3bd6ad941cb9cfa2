"""Several outputs of one request as one: what a slow reader gets instead of a long queue."""

from __future__ import annotations

from collections.abc import Sequence

from shimmy.output import RequestOutput, TokenLogprob, ToolCallDelta


def merge_outputs(outputs: Sequence[RequestOutput]) -> RequestOutput:
    """`outputs` (at least one, in order, of one request) joined; reading it says the same as reading them all."""
    if len(outputs) == 1:
        return outputs[0]
    token_ids: list[int] = []
    logprobs: list[TokenLogprob] = []
    prompt_logprobs: list[TokenLogprob] = []
    for output in outputs:
        token_ids += output.token_ids
        logprobs += output.logprobs
        prompt_logprobs += output.prompt_logprobs
    last = outputs[-1]
    return RequestOutput(
        request_id=last.request_id,
        text="".join(output.text for output in outputs),
        reasoning="".join(output.reasoning for output in outputs),
        tool_calls=_joined([delta for output in outputs for delta in output.tool_calls]),
        token_ids=token_ids,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        finish_reason=last.finish_reason,
        stop_reason=last.stop_reason,
        usage=last.usage or next((output.usage for output in outputs if output.usage), None),
    )


def _joined(deltas: Sequence[ToolCallDelta]) -> list[ToolCallDelta]:
    """Parts of one call that follow each other become one."""
    runs: list[list[ToolCallDelta]] = []
    for delta in deltas:
        if runs and runs[-1][0].index == delta.index and delta.id is None and delta.name is None:
            runs[-1].append(delta)
        else:
            runs.append([delta])
    return [
        ToolCallDelta(run[0].index, "".join(delta.arguments for delta in run), run[0].id, run[0].name) for run in runs
    ]
