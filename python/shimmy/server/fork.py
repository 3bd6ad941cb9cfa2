"""Another request's answer, gone on with from any of its tokens."""

from __future__ import annotations

import secrets
from typing import NamedTuple

import msgspec

from shimmy.engine_client import EngineClient
from shimmy.errors import InvalidRequestError
from shimmy.models.continuation import Answer
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server.generation import generate_request
from shimmy.server.request_tracker import TrackedRequest
from shimmy.server.schemas.requests import ForkRequest

_KEPT = {
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "min_tokens",
    "banned_strings",
    "speculation",
    "lora",
    "priority",
    "context_policy",
    "n_keep",
    "cache_diagnostics",
}
"""Fields of a request that are the parent's unless the fork says otherwise."""


class Fork(NamedTuple):
    """`request` goes on; `known` is what it tells once more, None when it tells only what is new."""

    request: GenerateRequest
    known: Answer | None


async def forked(client: EngineClient, parent: TrackedRequest, body: ForkRequest) -> Fork:
    """The parent's request with as much of its answer as is kept: the engine finds both in its prefix cache, and a
    grammar and the parser of a conversation begin where they did. With tools the answer goes on as text, calls and all.
    """
    kept = len(parent.token_ids) if body.at is None else body.at
    if kept > len(parent.token_ids):
        raise InvalidRequestError(f"at is {kept}, the answer has {len(parent.token_ids)} tokens", "at")
    answered = [*parent.request.answered, *parent.token_ids[:kept]]
    request = _asked(parent.request, body)
    if not answered:
        return Fork(request, None)
    if isinstance(request.prompt, ChatPrompt) and request.prompt.tools and request.prompt.tool_choice != "none":
        if request.grammar is not None:
            raise InvalidRequestError("the answer follows a grammar beside its tools: it can be forked at 0 only", "at")
        return Fork(msgspec.structs.replace(request, prompt=[*await client.tokenize(request.prompt), *answered]), None)
    limit = None if request.max_tokens is None else request.max_tokens + len(answered)
    return Fork(msgspec.structs.replace(request, max_tokens=limit, answered=answered), parent.answer(kept))


def _asked(parent: GenerateRequest, body: ForkRequest) -> GenerateRequest:
    """The parent's request with what the fork says."""
    limit = None if parent.max_tokens is None else parent.max_tokens - len(parent.answered)
    own = generate_request(
        f"fork-{secrets.token_hex(12)}", body, [], max_tokens=limit if body.max_tokens is None else body.max_tokens
    )
    given = {name for name in body.__struct_fields__ if getattr(body, name) is not None}
    said = {name: getattr(own, name) for name in given & _KEPT}
    if own.grammar is not None:
        said["grammar"] = own.grammar
    return msgspec.structs.replace(
        parent,
        request_id=own.request_id,
        sampling={**parent.sampling, **own.sampling},
        max_tokens=own.max_tokens,
        answered=[],
        logprobs=None,
        prompt_logprobs=None,
        **said,
    )
