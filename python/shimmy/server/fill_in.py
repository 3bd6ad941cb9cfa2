"""Filling in the middle, for models whose vocabulary has the tokens for it."""

from __future__ import annotations

from shimmy.context_policy import truncates
from shimmy.engine_client import EngineClient
from shimmy.errors import InvalidRequestError
from shimmy.server.schemas.generation import GenerationFields


async def fill_in_prompt(
    client: EngineClient, prefix: str, suffix: str, param: str, fields: GenerationFields
) -> list[int]:
    """Prefix, suffix, then the place to fill: the order that most models were trained on, as llama-server has it.

    InvalidRequestError (`param`) for a model without the three tokens, and for a context_policy that would cut the
    place out.
    """
    if truncates(fields.policy()):
        raise InvalidRequestError(
            f"with {param} the middle is where the answer goes: use context_policy error or shift", "context_policy"
        )
    if len(client.info.fim_tokens) != 3:
        raise InvalidRequestError(
            f"{client.info.name} has no tokens to fill in the middle with: leave {param} out", param
        )
    begin, end, middle = client.info.fim_tokens
    before = await client.tokenize(prefix, add_special=True, parse_special=False)
    after = await client.tokenize(suffix, add_special=False, parse_special=False)
    plain = await client.tokenize(prefix, add_special=False, parse_special=False)
    special = before[: len(before) - len(plain)]  # BOS, where the model asks for one
    return [*special, begin, *plain, end, *after, middle]
