"""What an engine answers: plain values that also travel from a runner process as msgpack."""

from __future__ import annotations

import msgspec


class TokenLogprob(msgspec.Struct, frozen=True):
    """One token with its log-probability (natural log, never -inf: clamped to -9999.0) before sampling."""

    token: int
    piece: bytes
    logprob: float
    top: list[tuple[int, bytes, float]] = []
    """The most likely alternatives, best first: (token, piece, logprob)."""


class ToolCallDelta(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a tool call. `id` and `name` are set in the first part of each call only."""

    index: int
    arguments: str = ""
    id: str | None = None
    name: str | None = None


class ContextUse(msgspec.Struct, frozen=True):
    """What a request's context_policy did: tokens and messages of the prompt that the model never saw, and tokens that
    left its context during the answer.
    """

    policy: str
    prompt_tokens: int
    """Of the prompt as it was sent; `kept` of these were given to the model, and `dropped` were not."""
    kept: int
    dropped: int
    dropped_messages: int = 0
    """Of a conversation, that are missing as a whole."""
    shifts: int = 0
    """How often the context was full; `shifted` tokens made room then, of the prompt or of the answer."""
    shifted: int = 0


class CacheDiagnosis(msgspec.Struct, frozen=True):
    """Where a prompt left the cache, and by what."""

    message: int | None
    """Index of the message that the token `cache_diverged_at` is of, as the chat template sees the conversation; None
    for a prompt that is none, and behind all messages."""
    role: str | None
    reason: str
    """system or message: that one is new or another one. tools, template: it is the same, and is rendered otherwise,
    by other tools or by the template. truncated: what was before it was dropped. model, adapter: they were others.
    evicted, uncuttable, disabled: as `Usage.cache_miss`. prompt: of a prompt that is no conversation. new: nothing like
    it is known. tools, model and some evicted need a server, which remembers earlier requests."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Token counts and durations of one request. Durations are in seconds."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens whose KV cells were reused."""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    """Of these, those that are reasoning, in answers to a `ChatPrompt`; counted by `ReasoningCount`."""
    drafted_tokens: int = 0
    """Proposed by speculation; of those, `accepted_tokens` came out."""
    accepted_tokens: int = 0
    cache_diverged_at: int = -1
    """Index of the first prompt token that was not reused; -1: all that may be were (the last one never is)."""
    cache_miss: str = "none"
    """Why that one was not: empty, diverged, adapters, evicted, uncuttable or disabled."""
    cache_diagnosis: CacheDiagnosis | None = None
    """Of a miss, for requests with `cache_diagnostics`."""
    context: ContextUse | None = None
    """For requests with a `context_policy` other than error."""
    queue_seconds: float = 0.0
    """From arrival to the first prefill chunk."""
    prefill_seconds: float = 0.0
    """From the first prefill chunk to the first token."""
    decode_seconds: float = 0.0
    """From the first token to the last."""


class RequestOutput(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What one step added to one request. The last one carries `finish_reason` and `usage`; the first one with tokens
    carries what `usage` is by then, which says how long the prompt is.

    `text` never ends inside a UTF-8 character and never holds a stop string or a part of one. For a `ChatPrompt` it
    is the content only; reasoning and tool calls are parsed out of the model's text.
    """

    request_id: str
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallDelta] = []
    token_ids: list[int] = []
    logprobs: list[TokenLogprob] = []
    prompt_logprobs: list[TokenLogprob] = []
    """Of the prompt's tokens from the second on, as they are computed, if asked for."""
    finish_reason: str | None = None
    """stop, length, tool_calls (ChatPrompt only), deadline or cancelled."""
    stop_reason: str | int | None = None
    """The stop string or token id that ended it, when one did."""
    usage: Usage | None = None

    @property
    def finished(self) -> bool:
        return self.finish_reason is not None
