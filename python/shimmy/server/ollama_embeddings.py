"""Embeddings as Ollama's API asks for them: texts in, rows of numbers out, inputs that are too long cut on demand."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from shimmy.embedding import Embeddings, EmbedRequest
from shimmy.engine_client import EngineClient
from shimmy.errors import InvalidRequestError, PromptTooLongError
from shimmy.server.native_answer import nanoseconds
from shimmy.server.schemas.ollama import OllamaEmbeddings, OllamaEmbedRequest


class Embedded(msgspec.Struct, frozen=True):
    """What the model made of the inputs, and the places of those that were cut."""

    embeddings: Embeddings
    truncated: list[int]

    def rows(self) -> list[list[float]]:
        return [self.embeddings.floats(index) for index in range(len(self.embeddings))]


async def embed(client: EngineClient, texts: list[str], body: OllamaEmbedRequest) -> Embedded:
    """PromptTooLongError for a text that is longer than the model reads, unless `truncate` says to cut it.

    InvalidRequestError for a model that embeds tokens, not texts.
    """
    truncated: list[int] = []
    try:
        embeddings = await client.embed(EmbedRequest(input=texts, dimensions=body.dimensions))
    except PromptTooLongError as error:
        if not body.truncate:
            raise PromptTooLongError(
                f"{error.message}; truncate: true cuts it", "input", error.n_prompt_tokens, error.n_ctx
            ) from error
        inputs, truncated = await _cut(client, texts, error.n_ctx)
        embeddings = await client.embed(EmbedRequest(input=inputs, dimensions=body.dimensions))
    if embeddings.pooling == "none":
        raise InvalidRequestError(f"{body.model} embeds each token, not a text: use /v1/embeddings", "model")
    return Embedded(embeddings, truncated)


def embeddings_answer(embedded: Embedded, model: str, seconds: float, load_seconds: float) -> bytes:
    """The answer of /api/embed; takes its time for large inputs. Both times are in seconds."""
    answer = OllamaEmbeddings(
        model=model,
        embeddings=embedded.rows(),
        total_duration=nanoseconds(seconds),
        load_duration=nanoseconds(load_seconds),
        prompt_eval_count=embedded.embeddings.prompt_tokens,
        truncated=embedded.truncated or UNSET,
    )
    return msgspec.json.encode(answer)


async def _cut(client: EngineClient, texts: list[str], n_max: int) -> tuple[list[str | list[int]], list[int]]:
    """`texts`, those of more than `n_max` tokens as their first ones, between the same special tokens; and which."""
    inputs: list[str | list[int]] = []
    truncated: list[int] = []
    for index, text in enumerate(texts):
        tokens = await client.tokenize(text)
        if len(tokens) <= n_max:
            inputs.append(text)
            continue
        plain = await client.tokenize(text, add_special=False)
        n_special = len(tokens) - len(plain)
        before = next((at for at in range(n_special) if tokens[at : at + len(plain)] == plain), n_special)
        after = tokens[before + len(plain) :]
        inputs.append([*tokens[: n_max - len(after)], *after])
        truncated.append(index)
    return inputs, truncated
