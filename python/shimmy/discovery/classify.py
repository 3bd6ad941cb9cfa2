"""What a GGUF file is for, told from its metadata."""

from __future__ import annotations

import re
from typing import Literal

from shimmy.discovery.gguf_header import GgufHeader

Kind = Literal["chat", "base", "embedding", "rerank", "projector", "adapter", "draft", "unknown"]
GENERATIVE: frozenset[Kind] = frozenset({"chat", "base"})
"""Kinds that generate text."""
LOADABLE: frozenset[Kind] = GENERATIVE | {"embedding", "rerank"}
"""Kinds that can be loaded on their own."""

_ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)
_DRAFTS = frozenset({"dflash", "eagle3", "gemma4-assistant"})
# Codecs, speech, images and video: nothing that answers a prompt with text on its own.
_NOT_TEXT = frozenset(
    {
        "aura",
        "cosmos",
        "flux",
        "hidream",
        "hyvid",
        "ltxv",
        "lumina2",
        "pockettts",
        "qwen3tts",
        "qwen_image",
        "sd1",
        "sd3",
        "sdxl",
        "vae",
        "wan",
        "wav2vec2",
        "wavtokenizer-dec",
        "whisper",
    }
)
_POOLING_RANK = 4
_CHAT_WORDS = re.compile(r"(?:^|[^a-z0-9])(?:chat|instruct|it|assistant)(?:$|[^a-z0-9])")


def classify(header: GgufHeader) -> Kind:
    """The kind of model in a file. "draft" is a head that proposes tokens for another model and is none by itself: by
    its architecture, or because all its blocks are such heads (MTP; a whole model may have some too). "unknown" is a
    GGUF that shimmy has no use for, such as a bare tokenizer.
    """
    architecture = (header.text("general.architecture") or "").lower()
    file_type = (header.text("general.type") or "model").lower()
    if file_type == "adapter" or header.text("adapter.type"):
        return "adapter"
    if file_type == "mmproj" or architecture == "clip":
        return "projector"
    if file_type != "model" or not architecture or architecture in _NOT_TEXT or header.n_tensors == 0:
        return "unknown"
    if architecture in _DRAFTS or (header.nextn_blocks and header.nextn_blocks == header.blocks):
        return "draft"
    pooling = header.integer(f"{architecture}.pooling_type") or 0
    if pooling == _POOLING_RANK:
        return "rerank"
    if architecture in _ENCODERS or pooling > 0:
        return "embedding"
    return "chat" if _talks(header) else "base"


def _talks(header: GgufHeader) -> bool:
    if "tokenizer.chat_template" in header.metadata:
        return True
    words = " ".join(header.text(key) or "" for key in ("general.finetune", "general.name")).lower()
    return bool(_CHAT_WORDS.search(words))
