"""Outputs of a request as OpenAI's response object, and as the events that build it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from shimmy.output import RequestOutput, ToolCallDelta
from shimmy.server import sse
from shimmy.server.chat_answer import logprobs_of, usage_of
from shimmy.server.custom_tool import CustomInput
from shimmy.server.response_events import ResponseEvents
from shimmy.server.responses_tools import CalledTool
from shimmy.server.schemas.responses import (
    CallItem,
    CustomCallItem,
    IncompleteDetails,
    MessageItem,
    OutputItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
    ResponseError,
    ResponseObject,
    ResponsesRequest,
    ResponseUsage,
    TextLogprob,
)
from shimmy.server.timings import timings_of

_ENCODER = msgspec.json.Encoder()


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"


def new_response(response_id: str, body: ResponsesRequest, tools: list[dict[str, Any]]) -> ResponseObject:
    """The object before the first output, with what was asked for; `tools` are those in force."""
    tool_choice = "auto" if body.tool_choice is None else msgspec.to_builtins(body.tool_choice)
    wanted = body.text.format if body.text else None
    return ResponseObject(
        id=response_id,
        created_at=int(time.time()),
        status="queued" if body.background else "in_progress",
        model=body.model,
        instructions=body.instructions,
        metadata=body.metadata or {},
        parallel_tool_calls=body.parallel_tool_calls is not False,
        temperature=body.temperature,
        top_p=body.top_p,
        tool_choice=tool_choice,
        tools=tools,
        previous_response_id=body.previous_response_id,
        max_output_tokens=body.max_output_tokens,
        background=bool(body.background),
        truncation=body.truncation or "disabled",
        store=body.store is not False,
        reasoning={"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        text={"format": {"type": "text"} if wanted is None else msgspec.to_builtins(wanted)},
    )


class ResponseWriter:
    """Takes the outputs of one request into `response`, and tells each change as an event.

    Items follow each other: one is done before the next is added.
    """

    def __init__(
        self, response: ResponseObject, called: Mapping[str, CalledTool], kept: ResponseEvents | None = None
    ) -> None:
        """`called` says by the names of functions what their calls are; `kept` gets every event, too."""
        self.response = response
        self._called = called
        self._kept = kept
        self._number = 0
        self._open: OutputItem | None = None
        self._call = -1  # the number of the call that is open
        self._input = CustomInput()  # of that call

    def queue(self) -> bytes:
        """It waits, in the background."""
        return self._event("response.created", response=self.response) + self._event(
            "response.queued", response=self.response
        )

    def begin(self) -> bytes:
        self.response.status = "in_progress"
        created = self._event("response.created", response=self.response) if self._number == 0 else b""
        return created + self._event("response.in_progress", response=self.response)

    def write(self, output: RequestOutput) -> bytes:
        """The events of one output; the last one ends the response."""
        events: list[bytes] = []
        if output.reasoning:
            events += self._reason(output.reasoning)
        if output.text or (output.logprobs and isinstance(self._open, MessageItem)):
            events += self._say(output)
        for call in output.tool_calls:
            events += self._take_call(call)
        if output.finished:
            events += self._end(output)
        return b"".join(events)

    def fail(self, code: str, message: str) -> bytes:
        """End it with an error. Its events begin with the response, whenever it fails."""
        begin = self.begin() if self._number == 0 else b""
        self.response.status = "failed"
        self.response.error = ResponseError(code, message)
        return begin + self._event("response.failed", response=self.response)

    def cancel(self) -> bytes:
        """End it before its last output."""
        return b"".join(self._leave("incomplete")) + self._cancelled()

    def _reason(self, text: str) -> list[bytes]:
        events: list[bytes] = []
        item = self._open
        if not isinstance(item, ReasoningItem):
            part = ReasoningText()
            item = ReasoningItem(id=new_id("rs"), content=[part], status="in_progress")
            events = self._enter(item, part)
        item.content[0].text += text
        events.append(self._part_event("response.reasoning_text.delta", item, delta=text))
        return events

    def _say(self, output: RequestOutput) -> list[bytes]:
        events: list[bytes] = []
        item = self._open
        if not isinstance(item, MessageItem):
            part = OutputText()
            item = MessageItem(id=new_id("msg"), status="in_progress", content=[part])
            events = self._enter(item, part)
        scores = [
            TextLogprob(one.token, one.logprob, one.bytes, one.top_logprobs)
            for one in logprobs_of(output.logprobs).content
        ]
        item.content[0].text += output.text
        item.content[0].logprobs += scores
        events.append(self._part_event("response.output_text.delta", item, delta=output.text, logprobs=scores))
        return events

    def _take_call(self, call: ToolCallDelta) -> list[bytes]:
        events: list[bytes] = []
        if not isinstance(self._open, CallItem | CustomCallItem) or self._call != call.index:
            events = self._enter(self._new_call(call.name or ""))
            self._call, self._input = call.index, CustomInput()
        if isinstance(self._open, CustomCallItem):
            events += self._take_input(self._open, self._input.add(call.arguments))
        elif isinstance(self._open, CallItem) and call.arguments:
            self._open.arguments += call.arguments
            delta = self._item_event("response.function_call_arguments.delta", self._open, delta=call.arguments)
            events.append(delta)
        return events

    def _new_call(self, function: str) -> CallItem | CustomCallItem:
        called = self._called.get(function, CalledTool(function))
        call_id, status, namespace = new_id("call"), "in_progress", called.namespace or UNSET
        if called.custom:
            return CustomCallItem(
                id=new_id("ctc"), call_id=call_id, name=called.name, namespace=namespace, input="", status=status
            )
        return CallItem(
            id=new_id("fc"), call_id=call_id, name=called.name, namespace=namespace, arguments="", status=status
        )

    def _take_input(self, item: CustomCallItem, text: str) -> list[bytes]:
        item.input += text
        return [self._item_event("response.custom_tool_call_input.delta", item, delta=text)] if text else []

    def _enter(self, item: OutputItem, part: OutputText | ReasoningText | None = None) -> list[bytes]:
        events = self._leave("completed")
        self._open = item
        self.response.output = [*self.response.output, item]
        empty = msgspec.structs.replace(item, content=[]) if part is not None else item
        events.append(self._event("response.output_item.added", output_index=self._index(), item=empty))
        if part is not None:
            events.append(self._part_event("response.content_part.added", item, part=part))
        return events

    def _leave(self, status: str) -> list[bytes]:
        item, self._open = self._open, None
        if item is None:
            return []
        item.status = status
        events: list[bytes] = []
        if isinstance(item, CallItem):
            done = self._item_event(
                "response.function_call_arguments.done", item, arguments=item.arguments, name=item.name
            )
            events.append(done)
        elif isinstance(item, CustomCallItem):
            events += self._take_input(item, self._input.rest())
            events.append(self._item_event("response.custom_tool_call_input.done", item, input=item.input))
        else:
            part = item.content[0]
            if isinstance(part, OutputText):
                done = self._part_event("response.output_text.done", item, text=part.text, logprobs=part.logprobs)
            else:
                done = self._part_event("response.reasoning_text.done", item, text=part.text)
            events += [done, self._part_event("response.content_part.done", item, part=part)]
        events.append(self._event("response.output_item.done", output_index=self._index(), item=item))
        return events

    def _end(self, output: RequestOutput) -> list[bytes]:
        cut = output.finish_reason in ("length", "deadline", "cancelled")
        status = "incomplete" if cut else "completed"
        events = self._leave(status)
        response = self.response
        response.usage = ResponseUsage.of(usage_of([output.usage]))
        response.timings = timings_of([output.usage])
        if output.finish_reason == "cancelled":
            return [*events, self._cancelled()]
        response.status = status
        response.completed_at = int(time.time())
        if cut:
            response.incomplete_details = IncompleteDetails("max_output_tokens")
        return [*events, self._event(f"response.{status}", response=response)]

    def _cancelled(self) -> bytes:
        """There is no event for it, so its status says what `response.incomplete` means here."""
        self.response.status = "cancelled"
        return self._event("response.incomplete", response=self.response)

    def _index(self) -> int:
        return len(self.response.output) - 1

    def _item_event(self, kind: str, item: OutputItem, **fields: Any) -> bytes:
        return self._event(kind, item_id=item.id, output_index=self._index(), **fields)

    def _part_event(self, kind: str, item: OutputItem, **fields: Any) -> bytes:
        return self._item_event(kind, item, content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        event = sse.named_event(kind, _ENCODER.encode({"type": kind, "sequence_number": number, **fields}))
        if self._kept is not None:
            self._kept.add(event)
        return event
