"""A conversation as its template renders it, and an answer that goes on with the text of its last message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from shimmy import _core
from shimmy.errors import InvalidRequestError, TemplateError
from shimmy.final_message import text_to_go_on_with
from shimmy.request import ChatPrompt

_END = "EndOfTheTextThatTheAnswerGoesOnWith"
"""Stands behind the text where the template shows it: all from there on closes the turn."""


class RenderedPrompt(NamedTuple):
    """What the model reads, and how what it writes is to be taken apart."""

    chat: _core.RenderedChat
    """Up to where an answer is opened."""
    begun: str = ""
    """What the answer has already, with what the template puts before it."""
    said: str = ""
    """The text in that."""

    @property
    def text(self) -> str:
        return self.chat.prompt + self.begun

    def parser(self) -> _core.ChatParser | BegunParser:
        """InvalidRequestError for a text that the model's own syntax takes for something else."""
        return BegunParser(self) if self.begun else _core.ChatParser(self.chat)


class ParsedPart(NamedTuple):
    """As `_core.ChatDelta`."""

    content: str
    reasoning: str
    tool_calls: list[_core.ToolCallDelta]


class BegunParser:
    """As `_core.ChatParser`, of an answer whose beginning was in the prompt and is not told."""

    def __init__(self, rendered: RenderedPrompt) -> None:
        self._parser = _core.ChatParser(rendered.chat)
        told = self._parser.feed(rendered.begun)
        content, said = told.content.lstrip(), rendered.said.lstrip()
        if told.tool_calls or not said.startswith(content) or (told.reasoning and not content):
            raise InvalidRequestError(
                "messages[-1] cannot be gone on with: what it says is reasoning or a call for this model; leave out "
                "the marks of these, or the message",
                "messages",
            )
        self._held = said[len(content) :]  # may yet be the beginning of something else, so it is told late

    def feed(self, text: str, is_final: bool = False) -> ParsedPart:
        part = self._parser.feed(text, is_final)
        content = part.content
        if self._held and content:
            if self._held.startswith(content):
                content, self._held = "", self._held[len(content) :]
            else:
                content, self._held = content.removeprefix(self._held), ""
        return ParsedPart(content, part.reasoning, part.tool_calls)

    @property
    def has_tool_calls(self) -> bool:
        return self._parser.has_tool_calls


Render = Callable[[ChatPrompt], _core.RenderedChat]


def begun_answer(prompt: ChatPrompt, render: Render) -> RenderedPrompt:
    """A conversation whose last message the answer goes on with: opened as for an answer, then the text as the template
    shows it, in whatever frame, without what closes its turn. Where it shows texts otherwise than they are, the text
    stands as it is, behind an empty thought if one is open there.

    InvalidRequestError when there is no text to go on with, or a call is demanded; else as `render`.
    """
    said = text_to_go_on_with(prompt.messages)
    if prompt.tool_choice == "required":
        raise InvalidRequestError(
            "tool_choice demands a call, and messages[-1] is a text to go on with: leave one of them out", "tool_choice"
        )
    last = prompt.messages[-1]
    # What has begun to answer has thought.
    opened = msgspec.structs.replace(
        prompt,
        messages=prompt.messages[:-1],
        continue_final_message=False,
        enable_thinking=False,
        add_generation_prompt=True,
    )
    chat = render(opened)
    begun = _shown(opened, last, chat.prompt, render)
    if begun is None:  # it moves tools or system prompts when an answer is there: look at a conversation without
        plain = msgspec.structs.replace(opened, messages=[{"role": "user", "content": "?"}], tools=[], tool_name=None)
        begun = _shown(plain, last, None, render)
    return RenderedPrompt(chat, _closed_thought(chat) + said if begun is None else begun, said)


def _shown(opened: ChatPrompt, last: dict[str, Any], opening: str | None, render: Render) -> str | None:
    """What the template makes of the last message up to the end of its text, behind what it makes of `opened`, which is
    `opening` if that is known; None where it makes something else of either.
    """
    said = last["content"]
    whole = [*opened.messages, {**last, "content": said + _END}]
    try:
        opening = render(opened).prompt if opening is None else opening
        shown = render(msgspec.structs.replace(opened, messages=whole, add_generation_prompt=False)).prompt
    except TemplateError:  # one that wants a question at the end
        return None
    begun = shown[len(opening) : max(shown.rfind(_END), 0)]
    return begun if shown.startswith(opening) and begun.endswith(said.lstrip()) else None


def _closed_thought(chat: _core.RenderedChat) -> str:
    """What ends a thought that the opening of the answer begins; empty where it begins none."""
    opening = chat.generation_prompt
    at = opening.rfind(chat.thinking_start) if chat.thinking_start else -1
    if at < 0 or not chat.thinking_ends or any(end in opening[at:] for end in chat.thinking_ends):
        return ""
    return f"{chat.thinking_ends[0]}\n\n"
