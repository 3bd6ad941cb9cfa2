"""Merging outputs loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.errors import EngineDeadError
from shimmy.output import RequestOutput, ToolCallDelta, Usage
from shimmy.runner.backlog import Backlog
from shimmy.runner.merge import merge_outputs
from shimmy.runner.pile import Pile

OUTPUTS = st.lists(
    st.builds(
        RequestOutput,
        request_id=st.just("r"),
        text=st.text(max_size=5),
        reasoning=st.text(max_size=5),
        token_ids=st.lists(st.integers(0, 9), max_size=3),
        tool_calls=st.lists(st.builds(ToolCallDelta, st.integers(0, 1), st.text(max_size=3)), max_size=2),
    ),
    min_size=1,
    max_size=10,
)


def arguments_of(outputs: list[RequestOutput], index: int) -> str:
    return "".join(delta.arguments for output in outputs for delta in output.tool_calls if delta.index == index)


@given(OUTPUTS)
def test_one_output_says_what_many_said(outputs: list[RequestOutput]) -> None:
    merged = merge_outputs(outputs)
    assert merged.text == "".join(output.text for output in outputs)
    assert merged.reasoning == "".join(output.reasoning for output in outputs)
    assert merged.token_ids == [token for output in outputs for token in output.token_ids]
    for index in (0, 1):
        assert arguments_of([merged], index) == arguments_of(outputs, index)


def test_a_call_s_id_and_name_stay_in_front() -> None:
    deltas = [
        ToolCallDelta(0, "", "a", "f"),
        ToolCallDelta(0, "{"),
        ToolCallDelta(0, "}"),
        ToolCallDelta(1, "", "b", "g"),
    ]
    merged = merge_outputs([RequestOutput(request_id="r", tool_calls=[delta]) for delta in deltas])
    assert merged.tool_calls == [ToolCallDelta(0, "{}", "a", "f"), ToolCallDelta(1, "", "b", "g")]


@given(OUTPUTS, st.integers(1, 4))
def test_a_pile_is_what_was_added(outputs: list[RequestOutput], at_once: int) -> None:
    copied: list[int] = []

    def counting(some: Sequence[RequestOutput]) -> RequestOutput:
        copied.append(len(some))
        return merge_outputs(some)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shimmy.runner.pile.merge_outputs", counting)
        patch.setattr(Pile, "MAX_OUTPUTS", at_once)
        pile = Pile()
        for output in outputs:
            pile.add(output)
            assert pile.n_bytes > 0
        assert pile.take() == merge_outputs([merge_outputs([output]) for output in outputs])
    assert sum(copied) <= 2 * len(outputs)
    assert (bool(pile), pile.n_bytes) == (False, 0)


def test_the_end_is_the_last_one_s() -> None:
    last = RequestOutput(request_id="r", finish_reason="length", stop_reason="x", usage=Usage(completion_tokens=2))
    merged = merge_outputs([RequestOutput(request_id="r", text="a"), last])
    assert (merged.finish_reason, merged.stop_reason, merged.usage) == ("length", "x", last.usage)
    assert merged.text == "a"


def test_a_backlog_stays_short() -> None:
    async def body() -> None:
        backlog = Backlog()
        for i in range(10_000):
            backlog.put(RequestOutput(request_id="r", text=str(i % 10)))
        backlog.fail(EngineDeadError("gone"))
        assert (await backlog.take()).text == "0123456789" * 1000
        with pytest.raises(EngineDeadError, match="gone"):
            await backlog.take()

    asyncio.run(body())
