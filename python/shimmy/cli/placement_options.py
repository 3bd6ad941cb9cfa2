"""The options of where a model is put, which every command takes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from shimmy.placement import GPU_BACKENDS
from shimmy.settings import SettingsError


def declare_placement(
    gpu_backend: Annotated[
        str | None,
        typer.Option("--gpu-backend", metavar="NAME", help=f"One of {', '.join(GPU_BACKENDS)}."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="NAMES", help='Devices as gpu-info names them: "A,B".'),
    ] = None,
    main_gpu: Annotated[
        int | None,
        typer.Option("--main-gpu", metavar="N", help="Which of them, with --split-mode none."),
    ] = None,
    split_mode: Annotated[
        str | None,
        typer.Option("--split-mode", metavar="MODE", help="none, layer, row or tensor."),
    ] = None,
    tensor_split: Annotated[
        str | None,
        typer.Option("--tensor-split", metavar="SHARES", help='Share of each GPU: "3,1".'),
    ] = None,
    gpu_layers: Annotated[
        str | None,
        typer.Option("--gpu-layers", metavar="N", help="auto, all or a number."),
    ] = None,
    gpu_margin: Annotated[
        int | None,
        typer.Option("--gpu-margin", metavar="MIB", help="GPU memory that auto leaves free."),
    ] = None,
    cpu_moe: Annotated[bool, typer.Option("--cpu-moe", help="Keep all experts with the CPU.")] = False,
    n_cpu_moe: Annotated[
        int | None,
        typer.Option("--n-cpu-moe", metavar="N", help="Keep the experts of N layers with the CPU."),
    ] = None,
    override_tensor: Annotated[
        list[str] | None,
        typer.Option("--override-tensor", metavar="PATTERN=BUFFER", help="Put weights elsewhere."),
    ] = None,
    no_kv_offload: Annotated[
        bool,
        typer.Option("--no-kv-offload", help="Keep the KV cache in the host's memory."),
    ] = False,
    no_kv_unified: Annotated[
        bool,
        typer.Option("--no-kv-unified", help="Give each sequence an equal part of the context for its own."),
    ] = False,
    max_num_seqs: Annotated[
        int | None,
        typer.Option("--max-num-seqs", metavar="N", help="Requests that are computed at once."),
    ] = None,
    cache_type_k: Annotated[
        str | None,
        typer.Option("--cache-type-k", metavar="TYPE", help="f16, q8_0, q4_0, ..."),
    ] = None,
    cache_type_v: Annotated[str | None, typer.Option("--cache-type-v", metavar="TYPE", help="The same.")] = None,
    flash_attn: Annotated[str | None, typer.Option("--flash-attn", metavar="WHEN", help="auto, on or off.")] = None,
    backend_sampling: Annotated[
        str | None,
        typer.Option("--backend-sampling", metavar="WHEN", help="Tokens are chosen on the GPU: auto, on or off."),
    ] = None,
    rpc: Annotated[
        str | None,
        typer.Option("--rpc", metavar="HOST:PORT", help='RPC servers, unprotected: "A:1,B:2".'),
    ] = None,
) -> dict[str, Any]:
    """These options as arguments of `load_settings`; this signature is their one declaration.

    Raises SettingsError for shares and layers that are no numbers.
    """
    return {
        "gpu_backend": None if gpu_backend is None else gpu_backend.lower(),
        "devices": _list(device),
        "main_gpu": main_gpu,
        "split_mode": split_mode,
        "tensor_split": _shares(tensor_split),
        "gpu_layers": _layers(gpu_layers),
        "gpu_margin_mib": gpu_margin,
        "cpu_moe": cpu_moe or None,
        "n_cpu_moe": n_cpu_moe,
        "override_tensor": tuple(override_tensor) if override_tensor else None,
        "kv_offload": False if no_kv_offload else None,
        "kv_unified": False if no_kv_unified else None,
        "max_num_seqs": max_num_seqs,
        "cache_type_k": cache_type_k,
        "cache_type_v": cache_type_v,
        "flash_attn": flash_attn,
        "backend_sampling": backend_sampling,
        "rpc": _list(rpc),
    }


def _list(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def _shares(text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"argument: --tensor-split: {text!r} is no list of numbers such as 3,1") from None


def _layers(text: str | None) -> int | str | None:
    if text is None or text in ("auto", "all"):
        return text
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"argument: --gpu-layers: {text!r} is neither auto, all nor a number") from None
