"""Calls that end a process which hands them to llama.cpp as they are, each with the error that shimmy raises instead.

Run as a script it makes them all, and answers each with a line of JSON; a name given as argument is where to start.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from shimmy import _core as core
from shimmy import demo_adapter_paths, demo_model_path

MODEL = str(demo_model_path())
N_VOCAB = 4096
NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True)
class FatalCall:
    """`outcome` is the exception's class or what the call returns, `mentions` a part of the exception's message."""

    name: str
    outcome: str
    mentions: str
    run: Callable[[], Any]


CALLS: list[FatalCall] = []


def refused(outcome: str, mentions: str = "") -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def add(call: Callable[[], Any]) -> Callable[[], Any]:
        CALLS.append(FatalCall(call.__name__, outcome, mentions, call))
        return call

    return add


def each(name: str, outcome: str, mentions: str, call: Callable[[Any], Any], values: list[Any]) -> None:
    """One call for each value."""
    for value in values:
        CALLS.append(FatalCall(f"{name} {value!r}", outcome, mentions, lambda value=value: call(value)))


def model(**params: Any) -> core.Model:
    return core.Model(MODEL, core.ModelParams(**params))


def context(**params: Any) -> core.Context:
    sizes = {"n_ctx": 256, "n_batch": 64, "n_ubatch": 32, "n_threads": 1}
    return core.Context(model(), core.ContextParams(**{**sizes, **params}))


def batch(tokens: list[int], pos: int = 0, seq_ids: list[int] | None = None) -> core.Batch:
    made = core.Batch()
    for i, token in enumerate(tokens):
        made.add(token, pos + i, seq_ids or [0], True)
    return made


def filled(**params: Any) -> core.Context:
    made = context(**params)
    made.decode(batch([1, 2, 3]))
    return made


def sampler(**params: Any) -> core.Sampler:
    return core.Sampler(core.Tokenizer(model()), core.SamplingParams(**params))


def row(value: float = 0.0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.full(N_VOCAB, value, np.float32)


# --- decode and encode


@refused("InvalidRequestError", "65 tokens, n_batch is 64")
def decode_more_than_n_batch() -> Any:
    return context().decode(batch([1] * 65))


@refused("InvalidRequestError", "at least one sequence id")
def decode_without_a_sequence() -> Any:
    return core.Batch().add(1, 0, [])


@refused("InvalidRequestError", "the batch is empty")
def decode_nothing() -> Any:
    return context().decode(core.Batch())


each(
    "decode sequence",
    "InvalidRequestError",
    "the context has sequences 0 to 0",
    lambda seq_id: context().decode(batch([1], 0, [seq_id])),
    [1_000_000, 1, -1, 2**31 - 1, -(2**31)],
)
each(
    "decode token",
    "InvalidRequestError",
    "the vocabulary has ids 0 to 4095",
    lambda token: context().decode(batch([token])),
    [N_VOCAB, -1, 2**31 - 1, -(2**31)],
)
each(
    "decode position",
    "InvalidRequestError",
    "negative position",
    lambda pos: context().decode(batch([1], pos)),
    [-1, -(2**31)],
)
each("decode position gap or repetition", "INVALID", "", lambda pos: filled().decode(batch([1], pos)), [0, 2, 4, 1000])
each("decode the last position", "OK", "", lambda pos: context().decode(batch([1], pos)), [2**31 - 1])


@refused("InvalidRequestError", "3 outputs, n_outputs_max is 2")
def decode_more_outputs_than_reserved() -> Any:
    return context(n_outputs_max=2).decode(batch([1, 2, 3]))


@refused("InvalidRequestError", "every token is an output")
def decode_more_embeddings_than_reserved() -> Any:
    return context(n_outputs_max=2, embeddings=True).decode(batch([1, 2, 3]))


@refused("OK")
def fewer_outputs_than_sequences() -> Any:
    return context(n_outputs_max=1, n_seq_max=8).decode(batch([1]))


@refused("InvalidRequestError", "33 tokens, n_ubatch is 32")
def non_causal_prompt_over_n_ubatch() -> Any:
    return context(attention="non-causal", embeddings=True).decode(batch([1] * 33))


@refused("InvalidRequestError", "this model has no encoder: use decode")
def encode_on_a_decoder() -> Any:
    return context(embeddings=True).encode(batch([1]))


@refused("InvalidRequestError", "belongs to several sequences, which needs kv_unified")
def token_of_two_streams() -> Any:
    return context(n_seq_max=2, kv_unified=False).decode(batch([1], 0, [0, 1]))


@refused("OK")
def token_twice_in_a_sequence() -> Any:
    return context().decode(batch([1], 0, [0, 0]))


# --- contexts

for field, value, mentions in [
    ("n_seq_max", 65, "between 1 and 64"),
    ("n_seq_max", 0, "between 1 and 64"),
    ("type_k", "i8", "it must be one of f32, f16, bf16"),
    ("type_v", "q6_K", "it must be one of f32, f16, bf16"),
    ("type_k", "iq2_xxs", "it must be one of f32, f16, bf16"),
    ("n_threads", 100_000, "between 0 and 512"),
    ("n_threads", -1, "between 0 and 512"),
    ("n_threads_batch", 513, "between 0 and 512"),
    ("pooling", "77", "it must be one of '', none, mean"),
    ("attention", "sideways", "it must be one of '', causal"),
    ("flash_attn", "9", "it must be one of auto, on, off"),
    ("n_ctx", 2**31, "between 1 and 67108864"),
    ("n_ctx", 2**26, "this machine has"),
    ("n_batch", 0, "between 1 and 65536"),
    ("n_batch", 2**32 - 1, "between 1 and 65536"),
    ("n_ubatch", 0, "between 1 and 65536"),
    ("n_outputs_max", 65, "between 0 and 64"),
    ("poll", 101, "between 0 and 100"),
    ("rope_freq_base", NAN, "rope_freq_base"),
    ("rope_freq_base", -1.0, "rope_freq_base"),
    ("rope_freq_scale", INF, "rope_freq_scale"),
]:
    each(f"context {field}", "InvalidRequestError", mentions, lambda v, f=field: context(**{f: v}), [value])
each(
    "quantised KV without flash attention",
    "InvalidRequestError",
    "needs flash attention",
    lambda field: context(**{field: "q8_0"}, flash_attn="off"),
    ["type_k", "type_v"],
)


@refused("InvalidRequestError", "was loaded with vocab_only")
def context_of_a_vocabulary() -> Any:
    return core.Context(model(vocab_only=True))


@refused("4")
def heads_of_a_vocabulary() -> Any:
    return model(vocab_only=True).n_head


# --- None where an object is due

for name, call in {
    "Tokenizer": lambda: core.Tokenizer(None),
    "Context": lambda: core.Context(None),
    "Sampler": lambda: core.Sampler(None),
    "Detokenizer": lambda: core.Detokenizer(None),
    "LoraAdapter": lambda: core.LoraAdapter(None, MODEL),
    "Engine": lambda: core.Engine(None),
    "decode": lambda: context().decode(None),
}.items():
    CALLS.append(FatalCall(f"{name} of None", "TypeError", "incompatible", call))


@refused("InvalidRequestError", "adapters holds None")
def set_adapters_with_none() -> Any:
    return context().set_adapters([(None, 1.0)])


# --- the KV cache

BAD_IDS = [-1, 2, 2**31 - 1, -(2**31)]
for name, call in {
    "seq_rm": lambda kv, i: kv.seq_rm(i - 1 if i == -1 else i),
    "seq_cp from": lambda kv, i: kv.seq_cp(i, 0),
    "seq_cp to": lambda kv, i: kv.seq_cp(0, i),
    "seq_keep": lambda kv, i: kv.seq_keep(i),
    "seq_add": lambda kv, i: kv.seq_add(i, 0, -1, 1),
    "seq_div": lambda kv, i: kv.seq_div(i, 0, -1, 2),
    "seq_pos_min": lambda kv, i: kv.seq_pos_min(i),
    "seq_pos_max": lambda kv, i: kv.seq_pos_max(i),
    "seq_save": lambda kv, i: kv.seq_save(i),
    "seq_restore": lambda kv, i: kv.seq_restore(i, filled().kv_cache.seq_save(0)),
}.items():
    each(
        name,
        "InvalidRequestError",
        "the context has sequences 0 to 1",
        lambda i, call=call: call(filled(n_seq_max=2).kv_cache, i),
        BAD_IDS,
    )


@refused("InvalidRequestError", "only a whole sequence can be copied")
def partial_copy_between_streams() -> Any:
    return filled(n_seq_max=2, kv_unified=False).kv_cache.seq_cp(0, 1, 0, 2)


each(
    "seq_div by",
    "InvalidRequestError",
    "it must be at least 1",
    lambda d: filled().kv_cache.seq_div(0, 0, -1, d),
    [0, -1],
)
each(
    "seq_add of",
    "InvalidRequestError",
    "would make positions",
    lambda delta: filled().kv_cache.seq_add(0, 0, -1, delta),
    [-1, -(2**31), 2**31 - 1],
)
each(
    "state",
    "InvalidRequestError",
    "this is no usable state",
    lambda size: filled().load_state(bytes(size)),
    [0, 1, 39, 40, 1000],
)

# --- adapters and tokens

each(
    "token",
    "InvalidRequestError",
    "the vocabulary has ids 0 to 4095",
    lambda token: core.Tokenizer(model()).piece(token),
    [-1, N_VOCAB, 2**31 - 1],
)


@refused("InvalidRequestError", "another model object")
def adapter_of_another_model() -> Any:
    return context().set_adapters([(core.LoraAdapter(model(), str(demo_adapter_paths()["pirate"])), 1.0)])


@refused("InvalidRequestError", "was loaded with vocab_only")
def adapter_of_a_vocabulary() -> Any:
    return core.LoraAdapter(model(vocab_only=True), str(demo_adapter_paths()["pirate"]))


@refused("200000")
def many_equal_characters() -> Any:
    tokenizer = core.Tokenizer(model())
    return len(tokenizer.decode(tokenizer.encode("a" * 200_000)))


# --- samplers


@refused("InvalidRequestError", "has no logits")
def logits_where_there_are_none() -> Any:
    return context().logits()


each("row of", "DecodeError", "no logit above -inf", lambda v: sampler().sample(row(v)), [NAN, -INF])
each("row of", "DecodeError", "a logit of +inf", lambda v: sampler().sample(row(v)), [INF])


@refused("InvalidRequestError", "there are 5 logits, the vocabulary has 4096 tokens")
def row_too_short() -> Any:
    return sampler().sample(np.zeros(5, np.float32))


@refused("DecodeError", "logit_bias bans all of them")
def everything_banned() -> Any:
    return sampler(top_p=0.5, typical_p=0.5, logit_bias=dict.fromkeys(range(N_VOCAB), -INF)).sample(row())


@refused("{}")
def changed_params_of_a_sampler() -> Any:
    made = sampler()
    made.params.logit_bias = {10**9: 1.0}
    made.sample(row())
    return made.params.logit_bias


@refused("None")
def accept_by_the_clone_of_adaptive_p() -> Any:
    made = sampler(adaptive_target=0.3, seed=1)
    token = made.sample(row())
    clone = made.clone()
    clone.top(row(), 1)
    return clone.accept(token)


@refused("None")
def hostile_rows_through_every_sampler() -> Any:
    chance = np.random.default_rng(0)
    values = np.array([0, -0.0, 1e38, -1e38, 1e-45, NAN, -INF, 20, -20], np.float32)
    names = ["temperature", "top_k", "typical_p", "top_p", "min_p", "xtc", "top_n_sigma", "penalties", "dry", "infill"]
    for seed in range(200):
        chance.shuffle(names)
        made = sampler(
            samplers=names, top_k=40, typical_p=0.5, top_p=0.9, min_p=0.01, xtc_probability=0.5, top_n_sigma=1.0,
            repeat_penalty=0.01, frequency_penalty=2.0, dry_multiplier=1.0, dynatemp_range=float(seed % 3),
            temperature=[1.0, 1e-40, 1e-5, 100.0][seed % 4], seed=seed, min_keep=seed % 5,
        )  # fmt: skip
        logits = chance.choice(values, N_VOCAB)
        for _ in range(3):
            made.accept(made.sample(logits))


# --- log callbacks


@refused("InvalidRequestError")
def log_callback_that_replaces_itself() -> Any:
    caught: list[str] = []

    def callback(level: int, line: str) -> None:
        try:
            core.set_log_callback(None)
        except Exception as error:  # noqa: BLE001 - its class is the answer
            caught.append(type(error).__name__)

    core.set_log_callback(callback)
    context()
    core.set_log_callback(None)
    return caught[0]


def main() -> None:
    core.set_log_callback(None)
    names = [call.name for call in CALLS]
    for call in CALLS[names.index(sys.argv[1]) if len(sys.argv) > 1 else 0 :]:
        try:
            result = call.run()
            answer = {"name": call.name, "outcome": getattr(result, "name", str(result)), "message": ""}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            answer = {"name": call.name, "outcome": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
