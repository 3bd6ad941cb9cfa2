"""What is asked of an engine: plain values that also travel to a runner process as msgpack."""

from __future__ import annotations

from typing import Any

import msgspec

from shimmy.grammar import GrammarSpec


class ChatPrompt(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A conversation, in OpenAI's chat completion shapes, for the model's chat template to render.

    `messages` and `tools` are the JSON objects of that API (roles system, developer, user, assistant, tool; content a
    string, a list of text parts, or null beside tool_calls).
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = []
    tool_choice: str = "auto"
    """auto, required (some call is enforced) or none."""
    tool_name: str | None = None
    """With required: the one function that is to be called."""
    parallel_tool_calls: bool = True
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    """The last message is an assistant's text, and the answer is what follows it, without another thought."""
    enable_thinking: bool = True
    template_kwargs: dict[str, Any] = {}
    context: list[int] = []
    """Tokens that stand before what the template makes of `messages`: a conversation so far, which these go on."""


class GenerateRequest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One generation.

    `prompt` is text (special tokens in it are parsed, BOS added as the model asks), token ids, or a conversation.
    `sampling` holds fields of `_core.SamplingParams`, only those that were set; unknown names and values out of range
    raise InvalidRequestError. Keys of its `logit_bias` are token ids or text, all of whose tokens get the bias.
    """

    request_id: str
    prompt: str | list[int] | ChatPrompt
    sampling: dict[str, Any] = {}
    max_tokens: int | None = None
    """None: until the context is full, ten times as much with a shift."""
    min_tokens: int = 0
    """No end token, stop token or stop string before that many."""
    stop: list[str] = []
    stop_token_ids: list[int] = []
    ignore_eos: bool = False
    """Go on behind end tokens. With a grammar none is chosen but where nothing else may come: there the answer ends."""
    banned_strings: list[str] = []
    """Never in the text: where one appears, the answer is rolled back and goes on another way. They win over a grammar:
    where all that it allows is banned, the answer fails with an error that names both."""
    logprobs: int | None = None
    """Alternatives per token, 0 to 20; None turns log-probabilities off."""
    prompt_logprobs: int | None = None
    """The same for the prompt's tokens from the second on. Such a prompt is computed in full, without the cache."""
    token_healing: bool = False
    """Let the answer choose anew how the end of the prompt is cut into tokens; its text still continues the prompt."""
    grammar: GrammarSpec | None = None
    """What the output has to look like; for a `ChatPrompt` with optional tools, that or calls of these. A chat template
    that can switch thinking off does so, since reasoning would not fit the grammar."""
    answered: list[int] = []
    """Tokens that the answer begins with, for one that goes on after its engine ended, as if it had chosen them: they
    are computed as a prompt is, and the place in a grammar and the random numbers of a seed are those behind them; only
    mirostat and adaptive-p start anew. The first output repeats them, without log-probabilities; usage, limits and stop
    strings count them. Fewer than max_tokens."""
    speculation: bool = True
    """Drafted tokens may be checked several at once. No answer changes by that."""
    context_policy: str = "error"
    """What is done when prompt and answer do not fit the context. error: a prompt that does not is refused, an answer
    ends there with finish_reason "length". truncate_middle: a prompt loses its middle, a conversation whole messages
    first, until there is room for `max_tokens` (see `context_policy.prompt_limit`). shift: an answer goes on without
    half of the tokens behind the first `n_keep`. truncate_middle+shift: both. `Usage.context` tells what was done."""
    n_keep: int | None = None
    """Leading tokens that a shift keeps, and a cut of a prompt that is no conversation; -1: the whole prompt. None: the
    prompt, or when it has more than half of the context a conversation's system prompt and tools, or BOS."""
    cache_diagnostics: bool = False
    """Say in `Usage.cache_diagnosis` at which message the prompt left what was cached."""
    lora: dict[str, float] = {}
    """Names of loaded adapters with their scales."""
    tenant: str = ""
    """Shares cached prefixes with no other tenant and gets an equal share of the engine."""
    priority: int = 0
    """Lower is earlier; ten seconds of waiting count as one level."""
    deadline: float | None = None
    """Seconds from arrival, in the queue or not, until it ends with finish_reason "deadline"."""
