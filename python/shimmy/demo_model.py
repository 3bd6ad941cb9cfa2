"""Where the embedded demo model lies: real files beside this module, about 16 MB, described in data/README.md."""

from __future__ import annotations

from pathlib import Path

__all__ = ["demo_adapter_paths", "demo_draft_path", "demo_model_path"]


def demo_model_path() -> Path:
    """The GGUF file of shimmy-mini, a chat model of 10.9 M parameters.

    Raises FileNotFoundError when the installation lacks its data files.
    """
    return _data_file("shimmy-mini.gguf")


def demo_draft_path() -> Path:
    """The GGUF file of shimmy-mini's draft model for speculative decoding; errors as `demo_model_path`."""
    return _data_file("shimmy-mini-draft.gguf")


def demo_adapter_paths() -> dict[str, Path]:
    """LoRA adapters of shimmy-mini by name, "pirate" and "terse"; errors as `demo_model_path`."""
    return {name: _data_file(f"shimmy-mini-{name}-lora.gguf") for name in ("pirate", "terse")}


def _data_file(name: str) -> Path:
    from importlib import resources  # here, so that `import shimmy` does not pay for it

    path = Path(str(resources.files("shimmy") / "data" / name))
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing from this installation of shimmy: install shimmy-llm again")
    return path
