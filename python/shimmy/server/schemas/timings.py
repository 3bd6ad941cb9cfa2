"""`timings`: how long an answer took, in the words of llama-server."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class Timings(msgspec.Struct, kw_only=True):
    """Fields are llama-server's, but for `queue_ms`. Rates are 0 where nothing was measured. Of several choices tokens
    are the sum, as in usage, and durations those of the longest: they run beside each other.
    """

    queue_ms: float
    """From arrival to the first computed token of the prompt."""
    cache_n: int
    """Prompt tokens from the cache."""
    prompt_n: int
    """Prompt tokens that were computed."""
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    """From the first token to the last."""
    predicted_per_token_ms: float
    predicted_per_second: float
    draft_n: int | UnsetType = UNSET
    """Tokens that speculation proposed, where it did; of those, `draft_n_accepted` came out."""
    draft_n_accepted: int | UnsetType = UNSET
