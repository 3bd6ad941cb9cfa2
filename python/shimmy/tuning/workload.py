"""What is timed: by these names, in tables and in files."""

from __future__ import annotations

DECODE = "decode"
"""One stream, after 64 tokens."""
BATCH = "decode x8"
"""Eight streams in one step, after 64 tokens each."""
PREFILL = "prefill"
"""A prompt in an empty cache."""
LONG_PREFILL = "long prefill"
"""A prompt of several micro-batches in an empty cache."""
DEEP_DECODE = "deep decode"
"""One stream, with thousands of tokens in the cache."""
DEEP_PREFILL = "deep prefill"
"""A prompt behind as many."""

STREAMS = 8
"""Of BATCH."""
