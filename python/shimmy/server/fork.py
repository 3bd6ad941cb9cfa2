"""Another request's answer, gone on with from any of its tokens."""

from __future__ import annotations

import secrets
from typing import NamedTuple

import msgspec

from shimmy.engine_client import EngineClient
from shimmy.errors import InvalidRequestError
from shimmy.models.continuation import Answer, goes_on_from_tokens
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
    """Its prompt is the parent's and as much of the answer as is kept: the engine finds that in its prefix cache.

    Of a conversation the answer is read on as the template's parser has to, with its stops, from the tokens that are
    kept; but one with tools, a grammar or a context that shifts is more than its tokens, and goes on as text.
    """
    kept = len(parent.token_ids) if body.at is None else body.at
    if kept > len(parent.token_ids):
        raise InvalidRequestError(f"at is {kept}, the answer has {len(parent.token_ids)} tokens", "at")
    answered = [*parent.request.answered, *parent.token_ids[:kept]]
    if answered and parent.request.grammar is not None:
        raise InvalidRequestError("the request's answer follows a grammar, which cannot begin in its middle", "at")
    request = _asked(parent.request, body)
    conversation = isinstance(request.prompt, ChatPrompt)
    if conversation and not answered:
        return Fork(request, None)
    if conversation and goes_on_from_tokens(request, same_draws=False):
        limit = None if request.max_tokens is None else request.max_tokens + len(answered)
        return Fork(msgspec.structs.replace(request, max_tokens=limit, answered=answered), parent.answer(kept))
    tokens = request.prompt if isinstance(request.prompt, list) else await client.tokenize(request.prompt)
    return Fork(msgspec.structs.replace(request, prompt=[*tokens, *answered]), None)


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
