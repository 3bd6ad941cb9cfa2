"""What a model, this machine and this build are, as far as speed depends on it. Asks the extension."""

from __future__ import annotations

from typing import Any

import msgspec

from shimmy import _core
from shimmy.model_info import LoadSpec
from shimmy.tuning.host import usable_cpus
from shimmy.tuning.setup import groups_of
from shimmy.tuning.winner import Identity

_WITHOUT_EFFECT = {"use_mmap", "use_mlock", "check_tensors"}
"""Options of ModelParams that say how weights get into memory, not where they lie."""


def identify(spec: LoadSpec) -> Identity:
    """Of what `spec` would load here. Raises ModelLoadError for a file that cannot be read."""
    header = _core.read_gguf(spec.path)
    bits = 8 * header.size_bytes / max(header.n_parameters, 1)
    model = (
        f"{header.architecture}, {header.block_count} layers of {header.embedding_length}, {header.n_vocab} tokens, "
        f"{header.n_parameters} parameters in {header.n_tensors} tensors, type {header.file_type}, {bits:.1f} bits each"
    )
    if header.split_count > 1:
        model += f", the first of {header.split_count} files"
    devices = _core.devices(spec.model.get("rpc_servers", []))
    gpus = [device for device in devices if device.type in ("gpu", "igpu")]
    build = _core.build_info()
    processors = [device.description for device in devices if device.type in ("cpu", "accel")]
    parts = [*processors, f"{usable_cpus()} CPUs", " ".join(build["cpu_features"])]
    parts += [f"{gpu.name} {gpu.description}" for gpu in gpus]
    return Identity(
        model=model,
        machine=", ".join(parts),
        build=", ".join(
            f"{name} {' '.join(value) if isinstance(value, list) else value}"
            for name, value in build.items()
            if name not in ("cpu_features", "backend_errors")
        ),
        placement=_placement({"gpu_backend": spec.gpu_backend, **spec.model}) if gpus else "",
    )


def _placement(options: dict[str, Any]) -> str:
    fixed = {name: value for name, value in options.items() if name not in _WITHOUT_EFFECT and not groups_of([name])}
    return msgspec.json.encode(dict(sorted(fixed.items())), enc_hook=str).decode()
