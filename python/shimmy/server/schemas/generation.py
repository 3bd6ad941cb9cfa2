"""The fields that every route which generates has."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from shimmy.context_policy import ERROR, check_policy
from shimmy.errors import InvalidRequestError
from shimmy.models.adapter_names import numbered
from shimmy.server.schemas.adapters import NumberedScales, Scales
from shimmy.server.schemas.sampling import Count, Int32
from shimmy.server.schemas.structure import StructureFields

MAX_STOP = 64


class GenerationFields(StructureFields, kw_only=True):
    """Sampling, structure and what else every generation may say."""

    repetition_penalty: float | None = None
    """vLLM's and Hugging Face's name of `repeat_penalty`. It is for the whole prompt and answer, as there:
    `repeat_last_n` is -1 unless the request says another one.
    """
    stop: str | Annotated[list[str], Meta(max_length=MAX_STOP)] | None = None
    stop_token_ids: Annotated[list[Count], Meta(max_length=MAX_STOP)] | None = None
    ignore_eos: bool | None = None
    min_tokens: Count | None = None
    banned_strings: Annotated[list[str], Meta(max_length=MAX_STOP)] | None = None
    priority: Int32 | None = None
    """Lower is earlier."""
    speculation: bool | None = None
    """True when absent."""
    context_policy: str | None = None
    """error when absent; see `GenerateRequest.context_policy`, as for the next two."""
    n_keep: Int32 | None = None
    cache_diagnostics: bool | None = None
    lora: Scales | NumberedScales | None = None
    """Adapter name -> scale, or llama-server's list of ids and scales; adapters that are not named do not apply."""

    def sampling(self) -> dict[str, Any]:
        """As `SamplingFields`. InvalidRequestError for two names of one field that say different things."""
        values = super().sampling()
        if (penalty := self.repetition_penalty) is not None:
            if values.get("repeat_penalty", penalty) != penalty:
                raise InvalidRequestError(
                    f"repetition_penalty is {penalty} and repeat_penalty {self.repeat_penalty}: they are two names of "
                    "one field, give one of them",
                    "repetition_penalty",
                )
            values = {"repeat_last_n": -1, **values, "repeat_penalty": penalty}
        return values

    def stop_strings(self) -> list[str]:
        """`stop` as a list. InvalidRequestError for an empty string in it."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if "" in stop:
            raise InvalidRequestError("stop must not hold an empty string", "stop")
        return stop

    def adapters(self) -> dict[str, float]:
        """`lora`, with numbers in place of names that only the model knows (see `adapter_names.named`)."""
        if isinstance(self.lora, list):
            return {numbered(one.id): one.scale for one in self.lora}
        return self.lora or {}

    def policy(self) -> str:
        """`context_policy`. InvalidRequestError for an unknown one."""
        return check_policy(self.context_policy or ERROR)

    def kept(self) -> int | None:
        """`n_keep`. InvalidRequestError below -1."""
        if self.n_keep is not None and self.n_keep < -1:
            raise InvalidRequestError(f"n_keep is {self.n_keep}, it must be at least -1, the whole prompt", "n_keep")
        return self.n_keep

    def banned(self) -> list[str]:
        """`banned_strings`. InvalidRequestError for an empty string in it."""
        banned = self.banned_strings or []
        if "" in banned:
            raise InvalidRequestError("banned_strings must not hold an empty string", "banned_strings")
        return banned
