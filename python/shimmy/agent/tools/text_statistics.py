"""Counts of a text, which models guess badly."""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shimmy.agent.tool import Tool

MAX_CHARACTERS = 1 << 20

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_SENTENCE_END = re.compile(r"[.!?…。！？]+")


class Statistics(msgspec.Struct, forbid_unknown_fields=True):
    text: Annotated[str, Meta(max_length=MAX_CHARACTERS)]
    most_common: Annotated[int, Meta(ge=0, le=100, description="How many of the most frequent words to list.")] = 5


def count_text(wanted: Statistics) -> dict[str, Any]:
    text = wanted.text
    words = [found.group().lower() for found in _WORD.finditer(text)]
    counts = Counter(words)
    return {
        "characters": len(text),
        "bytes": len(text.encode()),
        "lines": len(text.splitlines()),
        "paragraphs": len([part for part in re.split(r"\n\s*\n", text) if part.strip()]),
        "sentences": _sentences(text) or int(bool(words)),
        "words": len(words),
        "unique_words": len(counts),
        "average_word_length": round(sum(map(len, words)) / len(words), 2) if words else 0.0,
        "most_common": [{"word": word, "count": count} for word, count in counts.most_common(wanted.most_common)],
    }


def _sentences(text: str) -> int:
    """Marks before a space or the end. Not a look-ahead: that would go back over every long run of marks."""
    return sum(text[found.end() : found.end() + 1].strip() == "" for found in _SENTENCE_END.finditer(text))


text_statistics = Tool(
    "text_statistics",
    "Count characters, bytes, words, sentences, lines and the most frequent words.",
    Statistics,
    count_text,
)
