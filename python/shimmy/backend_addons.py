"""Backends in packages of their own, beside portable builds of shimmy: shimmy-llm-cuda, shimmy-llm-vulkan, ...

Such a package carries one shared library and names itself by an entry point in the group `shimmy.backends`: the
backend's name, and a module with `LIBRARY` (the path of the library) and `LLAMA_CPP_COMMIT` (what it was built from).
The extension asks for them when it is imported, and opens them before it looks for devices.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import msgspec

GROUP = "shimmy.backends"


class BackendAddon(msgspec.Struct, frozen=True):
    """One installed add-on: the library to open, or why it must not be opened (empty: it may)."""

    library: str
    refusal: str = ""


def installed(version: str, commit: str, portable: bool) -> list[BackendAddon]:
    """The add-ons of this environment, for a shimmy of this `version`, built from llama.cpp at `commit`.

    One that does not fit is listed with its `refusal`: its library would crash where it was loaded. Never raises.
    """
    return [_addon(point, version, commit, portable) for point in sorted(entry_points(group=GROUP))]


def _addon(point: EntryPoint, version: str, commit: str, portable: bool) -> BackendAddon:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else f"the backend {point.name}"
    remove = f"pip uninstall {point.dist.name}" if point.dist else f"uninstall the package of {point.value}"
    if not portable:
        return BackendAddon(
            "",
            f"{package} is installed, but this shimmy has its backends compiled in and cannot open another: build it "
            f"with SHIMMY_{point.name.upper()}=ON, use the wheel of shimmy-llm, or {remove}",
        )
    try:
        module = point.load()
        library, built_from = str(module.LIBRARY), str(module.LLAMA_CPP_COMMIT)
    except Exception as error:  # noqa: BLE001, a stranger's code: whatever it raises is what there is to tell
        return BackendAddon("", f"{package} is broken ({type(error).__name__}: {error}): reinstall it, or {remove}")
    if built_from != commit:
        package_name = point.dist.name if point.dist else point.name
        return BackendAddon(
            library,
            f"{package} was built from llama.cpp {built_from[:12]}, shimmy-llm {version} from {commit[:12]}, and they "
            f"cannot work together: pip install {package_name}=={version}, or {remove}",
        )
    if not Path(library).is_file():
        return BackendAddon(library, f"{package} lacks its library {library}: reinstall it, or {remove}")
    return BackendAddon(library)
