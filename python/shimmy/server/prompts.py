"""The four forms in which OpenAI's routes take text: one, several, tokens, or lists of tokens."""

from __future__ import annotations

from typing import Any

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.server.schemas.sampling import Count


def prompts_of(given: str | list[Any], param: str, most: int) -> list[str | list[int]]:
    """`given` as a list of texts or token lists. InvalidRequestError (`param`) for what is neither, or over `most`."""
    if isinstance(given, str):
        return [given]
    if not given:
        raise InvalidRequestError(f"{param} must not be an empty list", param)
    if type(given[0]) is int and _are_tokens(given):
        return [given]
    kinds = set(map(type, given))
    if len(kinds) > 1 or not kinds <= {int, str, list}:
        raise InvalidRequestError(f"{param} must be a string, or a list of one kind: strings, tokens or lists", param)
    if kinds == {int}:
        raise _no_token(param)
    if len(given) > most:
        raise InvalidRequestError(f"{param} must hold at most {most} entries, got {len(given)}", param)
    if kinds == {list}:
        for tokens in given:
            if not tokens:
                raise InvalidRequestError(f"{param} must not hold an empty token list", param)
            if not _are_tokens(tokens):
                raise _no_token(param)
    return given


def _are_tokens(items: list[Any]) -> bool:
    """There may be millions, which Python itself would look at for long."""
    try:
        msgspec.convert(items, list[Count])
    except msgspec.ValidationError:
        return False
    return True


def _no_token(param: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param} holds something that is no token id", param)
