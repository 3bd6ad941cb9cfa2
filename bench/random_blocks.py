"""Random weights in ggml's block formats, drawn as block bytes: zero mean, a given standard deviation, always finite.

Every function takes a source of random bytes, the number of values and their standard deviation, and returns the
blocks as uint8 of shape (blocks, bytes per block). Quants are uniform and scales carry the spread, so nothing is ever
quantised: 100 million values take about a second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_JITTER = 0.75 + 0.5 * np.arange(256) / 255  # block scales vary by a quarter around their mean
_JITTER_RMS = float(np.sqrt(np.mean(_JITTER**2)))


class ByteSource:
    """An endless seeded stream of random bytes; the same seed gives the same bytes on every platform."""

    def __init__(self, *seed: int) -> None:
        self._generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))

    def take(self, *shape: int) -> Bytes:
        """Uniform bytes of the given shape."""
        return np.frombuffer(self._generator.bytes(int(np.prod(shape))), np.uint8).reshape(shape)


def _block_scales(jitter: Bytes, scale: float) -> Bytes:
    """One fp16 scale per block around `scale`, as bytes of shape (blocks, 2)."""
    table = (_JITTER / _JITTER_RMS * scale).astype("<f2")
    return table[jitter].view(np.uint8).reshape(-1, 2)


def q8_0(source: ByteSource, n: int, std: float) -> Bytes:
    """32 values in 34 bytes: fp16 d, 32 × int8. value = d · q with q uniform in -128..127."""
    blocks = np.empty((n // 32, 34), np.uint8)
    blocks[:, 2:] = source.take(n // 32, 32)
    # Signs of d alternate at random, which cancels the mean of -0.5 that the quants have.
    blocks[:, :2] = _block_scales(source.take(n // 32), std / np.sqrt((256**2 - 1) / 12 + 0.25))
    blocks[:, 1] |= source.take(n // 32) & 0x80
    return blocks


def q4_0(source: ByteSource, n: int, std: float) -> Bytes:
    """32 values in 18 bytes: fp16 d, 32 × 4 bits. value = d · (q - 8) with q uniform in 0..15 and either sign of d."""
    blocks = np.empty((n // 32, 18), np.uint8)
    blocks[:, 2:] = source.take(n // 32, 16)
    blocks[:, :2] = _block_scales(source.take(n // 32), std / np.sqrt((16**2 - 1) / 12 + 0.25))
    blocks[:, 1] |= source.take(n // 32) & 0x80
    return blocks


def q2_k(source: ByteSource, n: int, std: float) -> Bytes:
    """256 values in 84 bytes: 16 four-bit scales and mins, 256 × 2 bits, fp16 d and dmin.

    value = d · scale · q - dmin · min; with dmin = 1.5 d and min = scale this is d · scale · (q - 1.5).
    """
    count = n // 256
    d = std / np.sqrt((4**2 - 1) / 12) / np.sqrt(np.mean(np.arange(8, 16) ** 2))
    jitter = source.take(count)
    blocks = np.empty((count, 84), np.uint8)
    blocks[:, :16] = (8 + (source.take(count, 16) & 7)) * 17
    blocks[:, 16:80] = source.take(count, 64)
    blocks[:, 80:82] = _block_scales(jitter, d)
    blocks[:, 82:] = _block_scales(jitter, 1.5 * d)
    return blocks


def q4_k(source: ByteSource, n: int, std: float) -> Bytes:
    """256 values in 144 bytes: fp16 d and dmin, 8 six-bit scales and mins in 12 bytes, 256 × 4 bits.

    value = d · scale · q - dmin · min; with dmin = 7.5 d and min = scale this is d · scale · (q - 7.5).
    """
    count = n // 256
    scales = 32 + (source.take(count, 8) & 31)
    low, high = scales[:, :4], scales[:, 4:]
    six_bits = low | (high >> 4) << 6
    d = std / np.sqrt((16**2 - 1) / 12) / np.sqrt(np.mean(np.arange(32, 64) ** 2))
    jitter = source.take(count)
    blocks = np.empty((count, 144), np.uint8)
    blocks[:, 0:2] = _block_scales(jitter, d)
    blocks[:, 2:4] = _block_scales(jitter, 7.5 * d)
    blocks[:, 4:8] = six_bits  # scales
    blocks[:, 8:12] = six_bits  # mins
    blocks[:, 12:16] = (high & 15) * 17  # low four bits of the last four scales and mins
    blocks[:, 16:] = source.take(count, 128)
    return blocks


def q6_k(source: ByteSource, n: int, std: float) -> Bytes:
    """256 values in 210 bytes: 256 × 6 bits, 16 int8 scales, fp16 d. value = d · scale · (q - 32).

    Scales are uniform in ±64..127, so that the mean of -0.5 of the quants cancels.
    """
    count = n // 256
    random = source.take(count, 16)
    magnitude = (64 + (random & 63)).astype(np.int8)
    d = std / np.sqrt((64**2 - 1) / 12 + 0.25) / np.sqrt(np.mean(np.arange(64, 128) ** 2))
    blocks = np.empty((count, 210), np.uint8)
    blocks[:, :192] = source.take(count, 192)
    blocks[:, 192:208] = np.where(random & 64, -magnitude, magnitude).view(np.uint8)
    blocks[:, 208:] = _block_scales(source.take(count), d)
    return blocks


@lru_cache(maxsize=1)
def _normal_quantiles() -> NDArray[np.float32]:
    """The 65,536 quantiles of the standard normal distribution, so that 16 random bits draw one value."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse((i + 0.5) / 65536) for i in range(65536)], np.float32)


def _sixteen_bits(source: ByteSource, n: int, table: NDArray[np.uint16]) -> Bytes:
    drawn: NDArray[np.uint16] = table[source.take(2 * n).view("<u2")]
    return drawn.view(np.uint8).reshape(-1, 2)


def f16(source: ByteSource, n: int, std: float) -> Bytes:
    """Normal values in half precision, 2 bytes each."""
    return _sixteen_bits(source, n, (_normal_quantiles() * std).astype("<f2").view(np.uint16))


def bf16(source: ByteSource, n: int, std: float) -> Bytes:
    """Normal values in bfloat16, 2 bytes each, rounded to nearest even."""
    bits = (_normal_quantiles() * np.float32(std)).astype("<f4").view(np.uint32)
    return _sixteen_bits(source, n, ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2"))


BLOCKS: dict[str, tuple[int, int, Callable[[ByteSource, int, float], Bytes]]] = {
    "Q8_0": (32, 34, q8_0),
    "Q4_0": (32, 18, q4_0),
    "Q2_K": (256, 84, q2_k),
    "Q4_K": (256, 144, q4_k),
    "Q6_K": (256, 210, q6_k),
    "F16": (1, 2, f16),
    "BF16": (1, 2, bf16),
}
"""ggml type name -> values per block, bytes per block, maker."""


def random_matrix(source: ByteSource, kind: str, rows: int, columns: int, std: float) -> Bytes:
    """A matrix of blocks, shape (rows, bytes per row), filled in slices so that temporaries stay below 100 MB.

    Raises ValueError when a row is no whole number of blocks.
    """
    values, size, make = BLOCKS[kind]
    if columns % values:
        raise ValueError(f"{kind} needs rows of a multiple of {values} values, not {columns}")
    out = np.empty((rows * columns // values, size), np.uint8)
    step = 2**24 // values
    for start in range(0, len(out), step):
        part = out[start : start + step]
        part[:] = make(source, len(part) * values, std)
    return out.reshape(rows, -1)
