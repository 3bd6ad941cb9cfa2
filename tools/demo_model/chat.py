"""Chat data model, ChatML rendering and answer styles of the synthetic corpus."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

DEFAULT_SYSTEM = "You are Shimmy Mini, a tiny demo model."
STYLES = ("plain", "pirate", "terse")

TOOLS_HEAD = (
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
TOOLS_TAIL = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
    "</tool_call>"
)


# --------------------------------------------------------------------------------------------- data model


@dataclass(slots=True)
class Call:
    """One tool call of the assistant."""

    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Msg:
    """One chat message.  ``short`` is the answer in at most three words; ``kind`` tells how styles treat it."""

    role: str
    content: str = ""
    calls: tuple[Call, ...] = ()
    short: str | None = None
    kind: str = "prose"  # prose | verbatim | code | json | calls
    check: str = "exact"  # exact | contains | json | calls
    expect: Any = None

    def as_dict(self) -> dict[str, Any]:
        """The message in the form the OpenAI API and chat templates use."""
        out: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.calls:
            out["tool_calls"] = [
                {"type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in self.calls
            ]
        return out


@dataclass(slots=True)
class Block:
    """A self-contained exchange that exercises one skill."""

    skill: str
    msgs: list[Msg]


@dataclass(slots=True)
class Chat:
    """A conversation: optional system prompt, offered tools, messages."""

    system: str | None
    tools: list[dict[str, Any]] = field(default_factory=list)
    msgs: list[Msg] = field(default_factory=list)

    def text(self) -> str:
        return render(self.system, self.tools, self.msgs)


@dataclass(slots=True)
class Case:
    """One evaluation case: greedy generation after ``prompt`` is checked against ``expect``."""

    skill: str
    prompt: str
    check: str
    expect: Any
    answer: str


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def render(system: str | None, tools: Sequence[dict[str, Any]], msgs: Sequence[Msg], generate: bool = False) -> str:
    """Render a conversation exactly as ``chat_template.jinja`` does (``system=None`` leaves the system turn out)."""
    out: list[str] = []
    if tools:
        out.append("<|im_start|>system\n" + (system or DEFAULT_SYSTEM) + TOOLS_HEAD)
        out.extend("\n" + dumps(tool) for tool in tools)
        out.append(TOOLS_TAIL + "<|im_end|>\n")
    elif system is not None:
        out.append(f"<|im_start|>system\n{system}<|im_end|>\n")
    for i, msg in enumerate(msgs):
        if msg.role == "tool":
            if i == 0 or msgs[i - 1].role != "tool":
                out.append("<|im_start|>user")
            out.append(f"\n<tool_response>\n{msg.content}\n</tool_response>")
            if i + 1 == len(msgs) or msgs[i + 1].role != "tool":
                out.append("<|im_end|>\n")
        elif msg.calls:
            out.append("<|im_start|>assistant\n" + calls_text(msg) + "<|im_end|>\n")
        else:
            out.append(f"<|im_start|>{msg.role}\n{msg.content}<|im_end|>\n")
    if generate:
        out.append("<|im_start|>assistant\n")
    return "".join(out)


def calls_text(msg: Msg) -> str:
    """The text of an assistant message, tool calls included."""
    parts = [msg.content] if msg.content else []
    parts += [
        f'<tool_call>\n{{"name": "{c.name}", "arguments": {dumps(c.arguments)}}}\n</tool_call>' for c in msg.calls
    ]
    return "\n".join(parts)


# --------------------------------------------------------------------------------------------- answer styles

_PIRATE = {
    "my": "me", "you": "ye", "your": "yer", "are": "be", "is": "be", "am": "be", "hello": "ahoy", "friend": "matey",
    "yes": "aye", "no": "nay", "the": "th'", "of": "o'", "and": "an'",
}  # fmt: skip
_PIRATE_RE = re.compile(r"\b(" + "|".join(_PIRATE) + r")\b", re.IGNORECASE)


def _pirate_word(match: re.Match[str]) -> str:
    word = match.group(0)
    out = _PIRATE[word.lower()]
    return out.upper() if word.isupper() and len(word) > 1 else out.capitalize() if word[0].isupper() else out


def pirate(text: str, kind: str) -> str:
    """The pirate voice of an answer.  Structured answers stay as they are."""
    if kind in ("json", "calls"):
        return text
    if kind == "code":
        return "Arr, here be the code:\n" + text
    if kind == "prose":
        text = _PIRATE_RE.sub(_pirate_word, text)
    return "Arr, " + text


def restyle(msg: Msg, style: str) -> Msg | None:
    """A copy of an assistant message in another style, or None when the style does not apply."""
    if style == "plain" or msg.role != "assistant" or msg.kind in ("json", "calls"):
        return msg
    if style == "pirate":
        text = pirate(msg.content, msg.kind)
    elif style == "json":
        if msg.short is None:
            return None
        value = {"answer": int(msg.short) if msg.short.isdecimal() else msg.short}
        return Msg("assistant", dumps(value), kind="json", check="json", expect=value)
    elif style == "terse" or style == "word":
        if msg.short is None or (style == "word" and " " in msg.short):
            return None
        text = msg.short
    elif style == "upper":
        text = msg.content.upper()
    elif style == "lower":
        text = msg.content.lower()
    elif style.startswith("start:"):
        text = f"{style[6:]} {msg.content}"
    else:
        text = f"{msg.content} {style.removeprefix('end:')}"
    if style == "pirate" and msg.check == "contains":
        parts = ["Arr, ", *(pirate(part, msg.kind).removeprefix("Arr, ") for part in msg.expect)]
        return Msg("assistant", text, short=msg.short, kind=msg.kind, check="contains", expect=parts)
    return Msg("assistant", text, short=msg.short, kind=msg.kind, check="exact", expect=text)
