"""Embeddings and reranking: OpenAI's route, Jina's and Cohere's, and that of text-embeddings-inference."""

from __future__ import annotations

import asyncio
import base64
import sys
from array import array

import msgspec
from starlette.routing import BaseRoute, Route

from shimmy.context_policy import ERROR
from shimmy.embedding import Embeddings, EmbedRequest, RerankRequest
from shimmy.errors import InvalidRequestError
from shimmy.models.adapter_names import refuse_adapter
from shimmy.models.manager import ModelManager
from shimmy.models.need import Need
from shimmy.models.virtual_names import answering
from shimmy.server.endpoint import Call, Endpoint, Reply
from shimmy.server.errors import openai_error
from shimmy.server.operation import JSON, MODEL_ERRORS, MODEL_HEADER, Family, Operation
from shimmy.server.prompts import prompts_of
from shimmy.server.request_record import current_record
from shimmy.server.schemas.embedding import (
    MAX_INPUTS,
    DocumentOut,
    EmbeddingList,
    EmbeddingOut,
    EmbeddingsRequest,
    PromptUsage,
    RankList,
    RankRequest,
    RankResult,
    TextRank,
)


class EmbeddingRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, manager: ModelManager, max_body_bytes: int) -> None:
        self._manager = manager
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        embeddings = Endpoint(self._embeddings, openai_error, self._max_body_bytes)
        rerank = Endpoint(self._rerank, openai_error, self._max_body_bytes)
        return [
            *(Route(path, embeddings, methods=["POST"]) for path in ("/v1/embeddings", "/embeddings")),
            *(Route(path, rerank, methods=["POST"]) for path in ("/v1/rerank", "/rerank", "/v1/reranking")),
        ]

    @Operation(
        Family.OPENAI,
        "Embed texts",
        body=EmbeddingsRequest,
        example={"model": "shimmy-mini", "input": ["The sky is blue.", "What color is the sky?"]},
        answers={JSON: EmbeddingList},
        sends=(MODEL_HEADER,),
        errors=MODEL_ERRORS,
    )
    async def _embeddings(self, call: Call) -> Reply:
        body = await call.body.decode(EmbeddingsRequest)
        if body.encoding_format not in (None, "float", "base64"):
            raise InvalidRequestError(
                f"encoding_format must be float or base64, got {body.encoding_format!r}", "encoding_format"
            )
        if body.context_policy not in (None, ERROR):
            raise InvalidRequestError(
                f"context_policy must be error for embeddings, got {body.context_policy!r}: split the text yourself",
                "context_policy",
            )
        request = EmbedRequest(input=prompts_of(body.input, "input", MAX_INPUTS), dimensions=body.dimensions)
        self._manager.registry.settle(body.model, lambda: Need(task="embedding"))
        refuse_adapter(self._manager.registry.get(body.model))
        client = await call.stack.enter_async_context(self._manager.use(body.model))
        name = self._manager.registry.get(body.model).name
        embedded = await client.embed(request)
        if (record := current_record()) is not None:
            record.note_embedding(name, embedded.prompt_tokens)
        return Reply(await asyncio.to_thread(_answer, embedded, body))

    @Operation(
        Family.LLAMA_SERVER,
        "Order documents by how well they answer a query",
        body=RankRequest,
        example={
            "model": "shimmy-mini",
            "query": "What color is the sky?",
            "documents": ["The sky is blue.", "Grass is green."],
        },
        answers={JSON: (RankList, list[TextRank])},
        sends=(MODEL_HEADER,),
        errors=MODEL_ERRORS,
    )
    async def _rerank(self, call: Call) -> Reply:
        body = await call.body.decode(RankRequest)
        if (body.documents is None) == (body.texts is None):
            raise InvalidRequestError("documents is required (or texts, but not both)", "documents")
        if body.texts is not None:
            documents = body.texts
        else:
            documents = [one if isinstance(one, str) else one.text for one in body.documents or ()]
        model = self._ranker() if body.model is None else body.model
        self._manager.registry.settle(model, lambda: Need(task="rerank"))
        refuse_adapter(self._manager.registry.get(model))
        client = await call.stack.enter_async_context(self._manager.use(model))
        request = RerankRequest(
            query=body.query, documents=documents, top_n=body.top_n, raw_scores=bool(body.raw_scores)
        )
        name = self._manager.registry.get(model).name
        ranking = await client.rerank(request)
        if (record := current_record()) is not None:
            record.note_embedding(name, ranking.prompt_tokens)
        if body.texts is not None:
            ranked = [TextRank(index=one.index, score=one.score) for one in ranking.results]
            for text_rank in ranked if body.return_text else ():
                text_rank.text = documents[text_rank.index]
            return Reply(msgspec.json.encode(ranked))
        results = [RankResult(index=one.index, relevance_score=one.score) for one in ranking.results]
        for result in results if body.return_documents else ():
            result.document = DocumentOut(documents[result.index])
        usage = PromptUsage(ranking.prompt_tokens, ranking.prompt_tokens)
        return Reply(msgspec.json.encode(RankList(model=answering(model), usage=usage, results=results)))

    def _ranker(self) -> str:
        """The reranker, where the caller names none: text-embeddings-inference serves one model only."""
        registry = self._manager.registry
        names = [entry.name for entry in registry.entries() if entry.kind == "rerank"]
        if len(names) != 1:
            there = f"there are {', '.join(names)}" if names else "no reranker was found"
            raise InvalidRequestError(f"model is required: {there}", "model")
        return names[0]


def _answer(embedded: Embeddings, body: EmbeddingsRequest) -> bytes:
    """Millions of numbers for large inputs: on another thread than the event loop's."""
    as_text = body.encoding_format == "base64"
    data = [EmbeddingOut(index=k, embedding=_encoded(embedded, k, as_text)) for k in range(len(embedded))]
    usage = PromptUsage(embedded.prompt_tokens, embedded.prompt_tokens)
    return msgspec.json.encode(EmbeddingList(data=data, model=answering(body.model), usage=usage))


def _encoded(embedded: Embeddings, index: int, as_text: bool) -> str | list[float] | list[list[float]]:
    if as_text:
        values = array("f", embedded.data[index])
        if sys.byteorder == "big":
            values.byteswap()
        return base64.b64encode(values.tobytes()).decode("ascii")
    numbers = embedded.floats(index)
    if embedded.pooling != "none":
        return numbers
    return [numbers[at : at + embedded.dimensions] for at in range(0, len(numbers), embedded.dimensions)]
