"""Embeddings and reranking: what is asked and answered, plain values that also travel to and from a runner process."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EmbedRequest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Texts to embed, or their token ids, which are taken as they are.

    Text is tokenized as the model asks: special tokens are added, and their text is parsed. `dimensions` keeps the
    first so many values (Matryoshka embeddings, arXiv 2205.13147); `normalize` then divides by the L2 norm.
    """

    input: Sequence[str | list[int]]
    dimensions: int | None = None
    normalize: bool = True


class Embeddings(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One embedding for each input, in order.

    `data` holds the values of each input as float32 in this machine's byte order: `dimensions` of them, or with
    pooling none `dimensions` for each of its tokens, row by row.
    """

    data: list[bytes]
    dimensions: int
    pooling: str
    """none, mean, cls or last."""
    prompt_tokens: int = 0
    """Of all inputs."""

    def __len__(self) -> int:
        return len(self.data)

    def floats(self, index: int) -> list[float]:
        """The values of one input as Python floats, row by row."""
        return array("f", self.data[index]).tolist()

    def rows(self, index: int) -> NDArray[np.float32]:
        """The values of one input, float32[n_rows, dimensions]; read-only. One row unless pooling is none."""
        import numpy as np

        return np.frombuffer(self.data[index], np.float32).reshape(-1, self.dimensions)

    def matrix(self) -> NDArray[np.float32]:
        """All rows of all inputs in order, float32[n_rows, dimensions]."""
        import numpy as np

        return np.frombuffer(b"".join(self.data), np.float32).reshape(-1, self.dimensions)


class RerankRequest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Documents to put in the order of their relevance to a query.

    `top_n` keeps the best so many. `raw_scores` leaves out the sigmoid (see `RankedDocument`).
    """

    query: str
    documents: list[str]
    top_n: int | None = None
    raw_scores: bool = False


class RankedDocument(msgspec.Struct, frozen=True):
    """A document's place in the request and how relevant it is.

    `score` is 0 to 1, as Jina's API and text-embeddings-inference answer: the sigmoid of the head's logit, or what a
    head with a softmax of its own (Qwen3) says. With `raw_scores` it is the logit itself, any number, as llama-server
    answers; a head with a softmax has no other value.
    """

    index: int
    score: float


class Ranking(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The documents of a request, best first; those of equal score in the order of the request."""

    results: list[RankedDocument]
    prompt_tokens: int = 0
    """Of the query, once for each document, and all documents."""
