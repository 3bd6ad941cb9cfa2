"""POST /v1/embeddings and the two forms of /rerank: what comes in and what goes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shimmy.server.schemas.model_name import ModelName
from shimmy.server.schemas.sampling import Int32

MAX_INPUTS = 2048


class EmbeddingsRequest(msgspec.Struct, kw_only=True):
    model: ModelName
    input: str | list[Any]
    """A text, texts, token ids, or lists of them."""
    encoding_format: str | None = None
    """float (default) or base64."""
    dimensions: Int32 | None = None
    context_policy: str | None = None
    """Only error: half a text has another meaning."""


class EmbeddingOut(msgspec.Struct, kw_only=True):
    object: str = "embedding"
    index: int
    embedding: str | Sequence[float | Sequence[float]]
    """base64 of little-endian float32, or the numbers; rows of them for a model without pooling."""


class PromptUsage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, kw_only=True):
    object: str = "list"
    data: list[EmbeddingOut]
    model: str
    usage: PromptUsage


class DocumentIn(msgspec.Struct):
    text: str


class RankRequest(msgspec.Struct, kw_only=True):
    """Jina's and Cohere's `documents`, or text-embeddings-inference's `texts`."""

    query: str
    model: ModelName | None = None
    documents: Annotated[list[str | DocumentIn], Meta(max_length=MAX_INPUTS)] | None = None
    top_n: Int32 | None = None
    return_documents: bool | None = None
    texts: Annotated[list[str], Meta(max_length=MAX_INPUTS)] | None = None
    return_text: bool | None = None
    raw_scores: bool | None = None


class DocumentOut(msgspec.Struct):
    text: str


class RankResult(msgspec.Struct, kw_only=True):
    index: int
    relevance_score: float
    document: DocumentOut | UnsetType = UNSET


class RankList(msgspec.Struct, kw_only=True):
    model: str
    object: str = "list"
    usage: PromptUsage
    results: list[RankResult]


class TextRank(msgspec.Struct, kw_only=True):
    """text-embeddings-inference's."""

    index: int
    score: float
    text: str | UnsetType = UNSET
