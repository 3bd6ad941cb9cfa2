"""What `shimmy --version` says."""

from __future__ import annotations

from typing import Any

from shimmy import __version__


def version_text() -> str:
    """shimmy's version and, when the native extension can be imported, llama.cpp's commit."""
    text = f"shimmy {__version__}"
    try:
        from shimmy import build_info
    except ImportError:
        return f"{text} (native extension not built)"
    build: dict[str, Any] = build_info()
    return f"{text} (llama.cpp {build['llama_cpp_commit']})"
