"""What the device that computes lets a test expect: a GPU rounds a row otherwise in every size of batch.

llama.cpp's GPU kernels for one row, for few and for many quantise activations and add up in orders of their own, so the
logits of the demo model (Q8_0) move by up to 0.3 with the batch; a CPU's move by thousandths.
"""

from __future__ import annotations

import os

import pytest

from shimmy import _core

_GPUS = [device for device in _core.devices() if device.type in ("gpu", "igpu")]
ON_GPU = bool(_GPUS)

N_SAME = 8
"""A CPU computes the rows of a step of so few tokens as it does one. With AMX more are multiplied as bfloat16
(csrc/ggml/tile_products.h), which moves logits as much as a GPU does."""

CLOSE = 0.5 if ON_GPU else 0.02
"""By how much logits and embeddings of the same tokens may differ between batches of micro-batches of N_SAME."""

DRAWS = all(gpu.backend == "CUDA" for gpu in _GPUS)
"""Its arg-max takes a temperature and a share, where it is asked to (csrc/ggml/token_choice.h)."""

HIDES_NAN = any(gpu.backend == "Vulkan" for gpu in _GPUS) and "GGML_VK_DISABLE_F16" not in os.environ
"""Its products in half precision are clamped to what that can hold, NaN too (mul_mm.comp)."""

same_in_every_batch = pytest.mark.skipif(
    ON_GPU, reason="compares texts that stand on close logits, which a GPU moves with the size of the batch"
)
in_host_memory = pytest.mark.skipif(
    ON_GPU, reason="limits or counts the host's memory, and here the KV cache and the buffers lie on a GPU"
)
