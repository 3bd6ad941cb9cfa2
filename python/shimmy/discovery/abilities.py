"""What a model can do beyond its kind, told from its chat template and its special tokens."""

from __future__ import annotations

from collections.abc import Mapping

from shimmy.discovery.classify import Kind

_TEMPLATE = "tokenizer.chat_template"
_FILL_IN = ("tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id")
_THINKING = ("enable_thinking", "reasoning_effort", "<think>")
_OF_KINDS: dict[Kind, tuple[str, ...]] = {
    "chat": ("chat", "completion"),
    "base": ("completion",),
    "embedding": ("embedding",),
    "rerank": ("rerank",),
}


def of_kind(kind: Kind) -> tuple[str, ...]:
    """chat, completion, embedding, rerank: the work that a model of this kind is made for."""
    return _OF_KINDS.get(kind, ())


def of_template(template: str) -> tuple[str, ...]:
    """tools and thinking, as far as a chat template speaks of them."""
    able = ("tools",) if "tools" in template else ()
    return (*able, "thinking") if any(word in template for word in _THINKING) else able


def of_metadata(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """What `of_template` says of the file's own template, and insert where it knows how to fill in."""
    template = metadata.get(_TEMPLATE)
    able = of_template(template) if isinstance(template, str) else ()
    return (*able, "insert") if any(key in metadata for key in _FILL_IN) else able
