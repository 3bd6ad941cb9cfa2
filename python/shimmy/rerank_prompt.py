"""How a query and a document become the prompt of a reranker."""

from __future__ import annotations

import re

from shimmy import _core

_PLACEHOLDER = re.compile(r"\{(query|document)\}")


class RerankPrompt:
    """The prompt of one model, after llama-server's `format_prompt_rerank`.

    A model with a template for it ("rerank", as Qwen3's rerankers have) gets that, filled in. Others get the pair as
    BERT and RoBERTa were trained on it: BOS query EOS SEP document EOS, of these the tokens that the vocabulary adds;
    one that adds SEP but no EOS ends with SEP.
    """

    def __init__(self, model: _core.Model, tokenizer: _core.Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._template = model.rerank_template
        end = tokenizer.eos if tokenizer.eos is not None else tokenizer.sep
        closing = [end] if tokenizer.add_eos else []
        separator = [tokenizer.sep] if tokenizer.add_sep else []
        self._before = _present([tokenizer.bos] if tokenizer.add_bos else [])
        self._between = _present([*closing, *separator])
        self._after = _present(closing or separator)

    def tokens(self, query: str, documents: list[str]) -> list[list[int]]:
        """The prompt for each document."""
        encode = self._tokenizer.encode
        if self._template is not None:
            texts = [_fill(self._template, {"query": query, "document": document}) for document in documents]
            return [encode(text, add_special=False) for text in texts]
        head = [*self._before, *encode(query, add_special=False, parse_special=False), *self._between]
        return [[*head, *encode(text, add_special=False, parse_special=False), *self._after] for text in documents]


def _fill(template: str, values: dict[str, str]) -> str:
    """All placeholders replaced at once, so that a query may hold the text "{document}"."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def _present(tokens: list[int | None]) -> list[int]:
    return [token for token in tokens if token is not None]
