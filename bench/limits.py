"""The physical limits of a machine and what a model asks of it: bytes per generated token, FLOPs per prompt token."""

from __future__ import annotations

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import psutil


@dataclass(frozen=True)
class Machine:
    """Rates in 1e9 per second, measured with `threads` threads."""

    cpu: str
    threads: int
    memory_gib: float
    read_gb_s: float
    """Reading main memory: the bound of decoding."""
    copy_gb_s: float
    """Copying: bytes read plus bytes written."""
    gemm_gflop_s: float
    """numpy's single-precision matrix product: a yardstick for prefill, which 8-bit kernels may pass."""

    @property
    def bandwidth(self) -> float:
        """Bytes per second, the better of both probes."""
        return max(self.read_gb_s, self.copy_gb_s) * 1e9


@dataclass(frozen=True)
class ModelCost:
    """What computing with a model takes."""

    bytes_per_token: float
    """Weights read for one generated token; the embedding's row is left out unless it is the output matrix too."""
    kv_bytes_per_token: float
    """What one token of context adds to that, with 16-bit K and V."""
    flops_per_token: float
    """Of the matrix products of one prompt token but its last one's output matrix."""

    def decode_limit(self, machine: Machine, depth: float, streams: int = 1) -> float:
        """Most tokens per second of `streams` streams together that read the weights once and `depth` tokens each."""
        return streams * machine.bandwidth / (self.bytes_per_token + streams * depth * self.kv_bytes_per_token)

    def prefill_yardstick(self, machine: Machine) -> float:
        """Prompt tokens per second at the rate of numpy's matrix product."""
        return machine.gemm_gflop_s * 1e9 / self.flops_per_token


def model_cost(path: Path) -> ModelCost:
    """From the file's tensors and metadata. Raises OSError or ValueError for what is no GGUF."""
    reader = gguf.GGUFReader(path)
    architecture = str(reader.fields["general.architecture"].contents())

    def number(key: str, default: int = 0) -> int:
        field = reader.fields.get(f"{architecture}.{key}")
        return default if field is None else int(field.contents())

    tensors = {tensor.name: tensor for tensor in reader.tensors}
    tied = "output.weight" not in tensors
    output = tensors["token_embd.weight" if tied else "output.weight"]
    layers = [tensor for name, tensor in tensors.items() if name.startswith("blk.")]
    heads = number("attention.head_count")
    head_dim = number("attention.key_length", number("embedding_length") // heads)
    n_kv = number("attention.head_count_kv", heads) * head_dim
    return ModelCost(
        bytes_per_token=float(sum(int(tensor.n_bytes) for tensor in (*layers, output))),
        kv_bytes_per_token=float(number("block_count") * n_kv * 2 * 2),
        flops_per_token=float(2 * sum(int(tensor.n_elements) for tensor in layers if len(tensor.shape) > 1)),
    )


def measure_machine(threads: int, mebibytes: int = 256, repeats: int = 5) -> Machine:
    """Takes about two seconds and 2 × `mebibytes` MiB for each thread."""
    n = mebibytes * 2**20 // 8
    sources = [np.ones(n, np.int64) for _ in range(threads)]
    targets = [np.zeros(n, np.int64) for _ in range(threads)]
    size = mebibytes * 2**20 * threads
    with ThreadPoolExecutor(threads) as pool:

        def best(work) -> float:  # type: ignore[no-untyped-def]
            seconds = []
            for _ in range(repeats):
                started = time.perf_counter()
                list(pool.map(work, range(threads)))
                seconds.append(time.perf_counter() - started)
            return min(seconds)

        read = best(lambda i: int(sources[i].max()))
        copy = best(lambda i: np.copyto(targets[i], sources[i]))
    side = 1024 if mebibytes < 64 else 2048
    left = np.ones((side, side), np.float32)
    left @ left
    products = []
    for _ in range(repeats):
        started = time.perf_counter()
        left @ left
        products.append(time.perf_counter() - started)
    return Machine(
        cpu=_cpu_name(),
        threads=threads,
        memory_gib=psutil.virtual_memory().total / 2**30,
        read_gb_s=size / read / 1e9,
        copy_gb_s=2 * size / copy / 1e9,
        gemm_gflop_s=2 * side**3 / min(products) / 1e9,
    )


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cpus() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
