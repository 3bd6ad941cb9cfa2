"""A context of the demo model and the loop over tokens that an embedder writes: prefill, sample, decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from engine_fixtures import QUESTIONS, chat, demo_model, tokenizer
from numpy.typing import NDArray

from shimmy import _core
from shimmy._core import Batch, Context, ContextParams, DecodeStatus, Detokenizer, Sampler, SamplingParams

QUESTION = "Who are you?"
GOLDEN = QUESTIONS[QUESTION]
PROMPT = chat(QUESTION)
PROMPT_TEXT = (
    "<|im_start|>system\nYou are Shimmy Mini, a tiny demo model.<|im_end|>\n"
    f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
)

Logits = NDArray[np.float32]


def open_context(model: _core.Model | None = None, **params: Any) -> Context:
    """Small and with one thread, so that a busy machine slows it down little."""
    sizes = {"n_ctx": 512, "n_batch": 256, "n_ubatch": 64, "n_threads": 1}
    return Context(model or demo_model(), ContextParams(**{**sizes, **params}))


def batch_of(tokens: Sequence[int], pos: int = 0, seq_ids: Sequence[int] = (0,), *, outputs: str = "last") -> Batch:
    """`tokens` at `pos` and after; `outputs` is none, last or all."""
    batch = Batch()
    for i, token in enumerate(tokens):
        wanted = outputs == "all" or (outputs == "last" and i == len(tokens) - 1)
        batch.add(token, pos + i, list(seq_ids), wanted)
    return batch


def prefill(context: Context, tokens: Sequence[int], pos: int = 0, seq_id: int = 0, *, chunk: int = 256) -> Logits:
    """Decode `tokens` in chunks; the logits after the last."""
    for at in range(0, len(tokens), chunk):
        assert context.decode(batch_of(tokens[at : at + chunk], pos + at, [seq_id])) == DecodeStatus.OK
    return context.logits()


def answer(context: Context, logits: Logits, pos: int, seq_id: int = 0, *, sampler: Sampler | None = None) -> str:
    """The text that follows `logits`, up to the end of the turn."""
    sampler = sampler or Sampler(tokenizer(), SamplingParams(temperature=0.0))
    detokenizer = Detokenizer(tokenizer())
    text = ""
    for i in range(64):
        token = sampler.sample(logits)
        sampler.accept(token)
        if tokenizer().is_eog(token):
            return text + detokenizer.flush()
        text += detokenizer.push(token)
        logits = prefill(context, [token], pos + i, seq_id)
    raise AssertionError(f"no end of the turn: {text!r}")


def golden(context: Context, seq_id: int = 0) -> str:
    """Prefill the prompt of GOLDEN and answer it."""
    return answer(context, prefill(context, PROMPT, 0, seq_id), len(PROMPT), seq_id)
