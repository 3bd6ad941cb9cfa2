"""Which alternatives to the defaults are worth a try on a machine, for a model. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from shimmy.tuning.search import Axis
from shimmy.tuning.setup import KvType, Setup, groups_of
from shimmy.tuning.workload import BATCH, DECODE, DEEP_DECODE, DEEP_PREFILL, LONG_PREFILL, PREFILL


def axes(
    *,
    n_threads: int,
    n_cpus: int,
    on_cpu: bool,
    on_gpu: bool,
    two_layouts: bool,
    long_prompt: int,
    kv_types: Sequence[KvType] = (),
    given: Collection[str] = (),
) -> list[Axis]:
    """In the order in which they are worth the time.

    `n_threads` is the default, `n_cpus` what the process may use, `on_cpu` whether the CPU alone computes, `on_gpu`
    whether all layers were put onto GPUs because they fit, `two_layouts` whether the default has both, `long_prompt`
    how many tokens that of LONG_PREFILL has, 0: it is not timed. `kv_types` are tried besides f16, the default. Groups
    with a field in `given` are left out.
    """
    found = [_attention(kv_types), _threads(n_threads, n_cpus)]
    if on_cpu:
        found.append(_layout(two_layouts))
    found += [_poll(), _micro_batch(long_prompt, on_gpu)]
    return [axis for axis in found if axis.alternatives and axis.group not in groups_of(given)]


def _layout(two_layouts: bool) -> Axis:
    alternatives = {"as in the file": Setup(use_extra_bufts=False)}
    if two_layouts:
        alternatives["repacked only"] = Setup(both_layouts=False)
    return Axis("layout", alternatives, (DECODE, BATCH, PREFILL))


def _threads(default: int, n_cpus: int) -> Axis:
    """Fewer only for decoding, which memory bounds first; more than one for each core where cores have several."""
    alternatives: dict[str, Setup] = {}
    if n_cpus > default:
        alternatives[f"{n_cpus}"] = Setup(n_threads=n_cpus, n_threads_batch=n_cpus)
        alternatives[f"{default}, prompts {n_cpus}"] = Setup(n_threads=default, n_threads_batch=n_cpus)
    for fewer in dict.fromkeys((3 * default // 4, default // 2, default // 4)):
        if 1 <= fewer < default:
            alternatives[f"{fewer}, prompts {default}"] = Setup(n_threads=fewer, n_threads_batch=default)
    return Axis("threads", alternatives, (DECODE, BATCH, PREFILL), needs_quiet=True)


def _attention(kv_types: Sequence[KvType]) -> Axis:
    alternatives = {"flash attention off": Setup(flash_attn="off")}
    for kind in dict.fromkeys(kv_types):
        if kind != "f16":
            alternatives[f"KV cache in {kind}"] = Setup(type_k=kind, type_v=kind)
    return Axis("attention", alternatives, (DEEP_DECODE, DEEP_PREFILL))


def _micro_batch(long_prompt: int, on_gpu: bool) -> Axis:
    """Larger than the default for GPUs only, which compute more rows at a time."""
    if on_gpu:
        sizes = [size for size in (2048, 1024) if size <= long_prompt]
    else:
        sizes = [size for size in (256, 128) if 2 * size <= long_prompt]
    return Axis("micro-batch", {f"{size} tokens": Setup(n_ubatch=size) for size in sizes}, (LONG_PREFILL,))


def _poll() -> Axis:
    alternatives = {"100": Setup(poll=100), "0": Setup(poll=0)}
    return Axis("poll", alternatives, (DECODE, BATCH), needs_quiet=True)
