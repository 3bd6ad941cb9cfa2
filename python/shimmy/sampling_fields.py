"""The fields that choose how tokens are drawn, as requests and the settings of a model have them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]

MAX_LOGIT_BIAS = 4096
MAX_BREAKERS = 64

_RANDOM_SEED = 0xFFFFFFFF


class SamplingFields(msgspec.Struct, kw_only=True):
    """Names and meanings are those of the engine's sampling parameters; it checks their ranges."""

    temperature: float | None = None
    top_k: Int32 | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    top_n_sigma: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: Int32 | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: Int32 | None = None
    dry_penalty_last_n: Int32 | None = None
    dry_sequence_breakers: Annotated[list[str], Meta(max_length=MAX_BREAKERS)] | None = None
    mirostat: Int32 | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    min_keep: Int32 | None = None
    samplers: Annotated[list[str], Meta(max_length=64)] | None = None
    seed: int | None = None
    """-1 and null mean a random one."""
    logit_bias: Annotated[dict[Int32, float], Meta(max_length=MAX_LOGIT_BIAS)] | None = None
    """Token id -> what is added to its logit."""

    def sampling(self) -> dict[str, Any]:
        """What was set, as `GenerateRequest.sampling` wants it."""
        values: dict[str, Any] = {}
        for name in SamplingFields.__struct_fields__:
            value = getattr(self, name)
            if value is not None:
                values[name] = value
        seed = values.pop("seed", -1)
        if seed != -1:
            # OpenAI's seeds have 64 bits, the engine's 32; the largest of those means random.
            values["seed"] = seed % _RANDOM_SEED
        return values
