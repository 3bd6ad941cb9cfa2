"""What a request needs of a model, as far as it shows before the model is known."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import msgspec

from shimmy.request import ChatPrompt, GenerateRequest

Task: TypeAlias = Literal["chat", "completion", "embedding", "rerank"]
Ability: TypeAlias = Literal["chat", "completion", "embedding", "rerank", "tools", "thinking", "insert"]

ABILITIES: tuple[Ability, ...] = get_args(Ability)

_BYTES_PER_TOKEN = 3
"""Of text and code in UTF-8, so that prose, which has more, is rather taken for too long than for too short."""


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """`n_tokens` is a guess: it orders models, and refuses none."""

    task: Task = "chat"
    tools: bool = False
    thinking: bool = False
    insert: bool = False
    n_tokens: int = 0
    """Of context, for the prompt and the answer that is asked for."""

    def abilities(self) -> frozenset[Ability]:
        """All that a model must be able to do."""
        needed: list[Ability] = [self.task]
        if self.tools:
            needed.append("tools")
        if self.thinking:
            needed.append("thinking")
        if self.insert:
            needed.append("insert")
        return frozenset(needed)


def need_of(request: GenerateRequest, *, thinking: bool = False) -> Need:
    """Of a generation. `thinking`: the client asked for it, which a prompt does not tell from its default."""
    return msgspec.structs.replace(
        need_of_prompt(request.prompt, thinking=thinking),
        n_tokens=_n_tokens(request.prompt) + (request.max_tokens or 0),
    )


def need_of_prompt(prompt: str | list[int] | ChatPrompt, *, thinking: bool = False) -> Need:
    """Of what is done with a prompt alone."""
    if not isinstance(prompt, ChatPrompt):
        return Need(task="completion", n_tokens=_n_tokens(prompt))
    asks = thinking or "reasoning_effort" in prompt.template_kwargs
    tools = bool(prompt.tools) and prompt.tool_choice != "none"
    return Need(tools=tools, thinking=asks, n_tokens=_n_tokens(prompt))


def _n_tokens(prompt: str | list[int] | ChatPrompt) -> int:
    if isinstance(prompt, list):
        return len(prompt)
    if isinstance(prompt, ChatPrompt):
        told = len(msgspec.json.encode((prompt.messages, prompt.tools)))
        return len(prompt.context) + told // _BYTES_PER_TOKEN
    return len(prompt.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN
