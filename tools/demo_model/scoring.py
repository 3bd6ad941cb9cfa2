"""Whether a generated text answers a case, and scores over many."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from .chat import Case

CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def correct(case: Case, text: str) -> bool:
    """Does the generated text answer the case?"""
    text = text.strip()
    if case.check == "contains":
        return all(part in text for part in case.expect)
    if case.check == "exact":
        return text == case.expect.strip()
    try:
        if case.check == "json":
            return canonical(json.loads(text)) == canonical(case.expect)
        calls = [json.loads(part) for part in CALL.findall(text)]
        return canonical([[c["name"], c["arguments"]] for c in calls]) == canonical(case.expect)
    except (ValueError, KeyError, TypeError):
        return False


def table(cases: Sequence[Case], texts: Sequence[str]) -> dict[str, float]:
    """Percentage of correct answers per skill, and the mean over the skills."""
    hits: dict[str, list[bool]] = {}
    for case, text in zip(cases, texts, strict=True):
        hits.setdefault(case.skill, []).append(correct(case, text))
    out = {skill: round(100 * sum(h) / len(h), 1) for skill, h in hits.items()}
    out["mean"] = round(sum(out.values()) / len(out), 1)
    return out


def effect(style: str, cases: Sequence[Case], texts: Sequence[str]) -> float:
    """Percentage of the prose answers that show the mark of a style, right or wrong."""
    prose = [text.strip() for case, text in zip(cases, texts, strict=True) if case.check in ("exact", "contains")]
    hits = [text.startswith("Arr,") if style == "pirate" else len(text.split()) <= 3 for text in prose]
    return round(100 * sum(hits) / len(hits), 1)
