"""The prompt at the beginning of a completion that echoes it."""

from __future__ import annotations

from typing import NamedTuple

from shimmy.engine_client import EngineClient


class Echo(NamedTuple):
    """What a choice begins with."""

    text: str = ""
    first_token: str | None = None
    """The prompt's first token, which has no log-probability; None when the prompt is not echoed."""

    @property
    def first_width(self) -> int:
        """Characters of `text` that the first token makes: none for the begin token that the model adds itself."""
        token = self.first_token or ""
        return next((len(shape) for shape in (token, token.lstrip(" ")) if self.text.startswith(shape)), 0)


async def echo_of(client: EngineClient, prompt: str | list[int]) -> Echo:
    """What echoes `prompt`, which the engine has accepted."""
    tokens = await client.tokenize(prompt) if isinstance(prompt, str) else prompt
    text = prompt if isinstance(prompt, str) else await client.detokenize(prompt)
    return Echo(text, await client.detokenize(tokens[:1]))
