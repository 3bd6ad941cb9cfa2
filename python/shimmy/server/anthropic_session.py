"""What a session remembers of a message: the turns that came in and the answer to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import msgspec

from shimmy.output import RequestOutput
from shimmy.server.anthropic_answer import tool_use_id
from shimmy.server.chat_answer import arguments_of, calls_of
from shimmy.server.generation import whole
from shimmy.server.session_store import Session


async def remembered(
    stream: AsyncIterator[RequestOutput],
    session: Session,
    given: Sequence[dict[str, Any]],
    message_id: str,
    *,
    begun: bool = False,
) -> AsyncGenerator[RequestOutput, None]:
    """The outputs of `stream`. With the last one `given` and the answer become part of the session: one that fails, or
    whose client leaves, changes nothing. `begun`: the answer goes on with the text of the last message given.
    """
    outputs: list[RequestOutput] = []
    async for output in stream:
        outputs.append(output)
        if output.finished:
            answer = _answer(whole(outputs), message_id)
            if begun:
                *given, last = given
                answer["content"] = last["content"] + (answer["content"] or "")
            session.add([*given, answer])
        yield output


def _answer(output: RequestOutput, message_id: str) -> dict[str, Any]:
    """The assistant's message, with the ids of calls that the client was told."""
    calls = [
        {
            "id": tool_use_id(message_id, index),
            "type": "function",
            "function": {
                "name": call.function.name or "",
                "arguments": msgspec.json.encode(arguments_of(call)).decode(),
            },
        }
        for index, call in enumerate(calls_of(output.tool_calls))
    ]
    message: dict[str, Any] = {"role": "assistant", "content": output.text if output.text or not calls else None}
    if output.reasoning:
        message["reasoning_content"] = output.reasoning
    if calls:
        message["tool_calls"] = calls
    return message
