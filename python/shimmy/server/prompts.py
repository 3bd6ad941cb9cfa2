"""The four forms in which OpenAI's routes take text: one, several, tokens, or lists of tokens."""

from __future__ import annotations

from typing import Any

from shimmy.errors import InvalidRequestError


def prompts_of(given: str | list[Any], param: str, most: int) -> list[str | list[int]]:
    """`given` as a list of texts or token lists. InvalidRequestError (`param`) for what is neither, or over `most`."""
    if isinstance(given, str):
        return [given]
    if not given:
        raise InvalidRequestError(f"{param} must not be an empty list", param)
    kinds = {type(item) for item in given}
    if len(kinds) > 1 or not kinds <= {int, str, list}:
        raise InvalidRequestError(f"{param} must be a string, or a list of one kind: strings, tokens or lists", param)
    if kinds == {int}:
        _check_tokens(given, param)
        return [given]
    if len(given) > most:
        raise InvalidRequestError(f"{param} must hold at most {most} entries, got {len(given)}", param)
    if kinds == {list}:
        for tokens in given:
            if not tokens:
                raise InvalidRequestError(f"{param} must not hold an empty token list", param)
            _check_tokens(tokens, param)
    return given


def _check_tokens(tokens: list[Any], param: str) -> None:
    if any(type(token) is not int or not 0 <= token < 2**31 for token in tokens):
        raise InvalidRequestError(f"{param} holds something that is no token id", param)
