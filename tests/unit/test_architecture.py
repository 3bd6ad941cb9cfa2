"""House rules that a machine can check: file sizes, which layer may know which, names, and what files may not hold."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "shimmy"
CODE_FOLDERS = ("csrc", "python", "tests", "bench", "tools", "scripts")
CODE_SUFFIXES = {".py", ".pyi", ".cpp", ".h", ".cc", ".cu", ".cmake", ".txt", ".sh", ".jinja", ".toml", ""}
MAX_LINES = 500
# Generated from the extension and checked for freshness; its length is the API's.
GENERATED = {"python/shimmy/_core.pyi"}

# Each room of csrc: the rooms whose headers it may include beside its own. Files directly in csrc/ (params.h,
# errors.h, ...) are for everyone and include none.
ROOMS: dict[str, set[str]] = {
    "": set(),
    "gguf": set(),
    "ggml": set(),
    "llama": {"gguf"},
    "grammar": set(),
    "chat": set(),
    "engine": {"llama", "grammar"},
    "bindings": {"gguf", "llama", "grammar", "chat", "engine"},
}
LLAMA_HEADERS = re.compile(r"^(llama|ggml|gguf)([-_]\w+)*\.h$|^llama-cpp\.h$")

# Python: what a module's top level may import of shimmy. The first part of the name decides; a longer entry wins.
VALUES = {
    "byte_size",
    "completion",
    "context_policy",
    "conversation_cut",
    "embedding",
    "engine_client",
    "errors",
    "final_message",
    "grammar",
    "keep_alive",
    "machine_memory",
    "message_places",
    "model_info",
    "output",
    "placement",
    "reasoning_count",
    "request",
    "request_defaults",
    "samples",
    "sampling_fields",
}
NATIVE = {
    "_core",
    "async_engine",
    "cache_miss",
    "call_grammar",
    "device_choice",
    "embedder",
    "fitted_prompt",
    "generation",
    "kept_prefixes",
    "llm",
    "loaded_model",
    "native_log",
    "output_grammars",
    "pump",
    "rendered_prompt",
    "rerank_prompt",
    "session",
    "thread_name",
}
PURE = VALUES | {"settings", "logs", "demo_model", "data", "templates"}
LAYERS: dict[str, set[str]] = {
    **dict.fromkeys(VALUES, VALUES),
    **{name: NATIVE | VALUES | {"templates", "demo_model", "kv_store", "tuning"} for name in NATIVE},
    "kv_store": VALUES,
    "tuning": VALUES,
    **dict.fromkeys(("tuning.identity", "tuning.rig"), VALUES | {"_core"}),
    **dict.fromkeys(("tuning.apply", "tuning.tuner"), VALUES | {"_core", "device_choice"}),
    "settings": {"byte_size", "errors", "keep_alive", "model_info", "placement"},
    "logs": {"settings"},
    "backend_addons": set(),
    "data": set(),
    "demo_model": {"errors", "data"},
    "templates": {"errors", "data"},
    "discovery": VALUES,
    "runner": VALUES | {"logs", "settings"},
    "runner.__main__": PURE | NATIVE | {"runner"},
    "library": VALUES | {"discovery"},
    "models": PURE | {"discovery", "library", "runner"},
    "agent": PURE,
    "server": PURE | {"models", "agent", "discovery", "library", "runner"},
    "cli": PURE | {"models", "agent", "discovery", "library", "server", "tuning"},
    "__main__": {"cli"},
    "__init__": set(),
}
REFUSED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base"}

# Assembled, so that this file passes its own check.
FORBIDDEN = [
    (
        "a registry's host",
        re.compile("|".join([r"\bpypi" + r"\.org", "files.python" + "hosted", "registry.npm" + "js"])),
    ),
    (
        "a path of one machine",
        re.compile("|".join([r"(?<![\w.])/wo" + r"rk/", r"(?<![\w.$}])/ho" + r"me/\w", "/ro" + "ot/"])),
    ),
]


def code_files() -> list[Path]:
    found = []
    for folder in CODE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in CODE_SUFFIXES and "__pycache__" not in path.parts:
                found.append(path)
    return found


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_long() -> None:
    counts = {name_of(path): len(path.read_bytes().splitlines()) for path in code_files()}
    long = {name: count for name, count in counts.items() if count > MAX_LINES and name not in GENERATED}
    assert not long, f"over {MAX_LINES} lines: {long}"


def test_no_module_is_a_drawer() -> None:
    names = [name_of(path) for path in code_files() if path.stem in REFUSED_NAMES or path.parent.name in REFUSED_NAMES]
    assert not names, f"name the one thing it is about: {names}"


# --- csrc -------------------------------------------------------------------------------------------------------------


def includes(path: Path) -> Iterator[str]:
    for match in re.finditer(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE):
        yield match.group(1)


def native_files() -> list[Path]:
    return sorted(path for path in (ROOT / "csrc").rglob("*") if path.suffix in {".h", ".cpp", ".cc", ".cu", ".in"})


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "csrc").parts
    return parts[0] if len(parts) > 1 else ""


def common_headers() -> set[str]:
    """The headers of llama.cpp's common/, by the names that its include path gives them."""
    common = ROOT / "vendor" / "llama.cpp" / "common"
    return {path.relative_to(common).as_posix() for path in common.rglob("*.h")}


def test_every_room_has_its_arrows() -> None:
    assert {room_of(path) for path in native_files()} <= ROOMS.keys(), "add the new room to ROOMS"


def test_rooms_include_only_what_is_below_them() -> None:
    wrong = []
    for path in native_files():
        room = room_of(path)
        for included in includes(path):
            target = included.split("/")[0]
            if target in ROOMS and (ROOT / "csrc" / included).exists() and target not in ROOMS[room] | {room}:
                wrong.append(f"{name_of(path)} includes {included}")
    assert not wrong, wrong


def test_only_the_llama_room_names_llama_cpp() -> None:
    wrong = [
        f"{name_of(path)} includes {included}"
        for path in native_files()
        for included in includes(path)
        if room_of(path) not in {"llama", "ggml"}
        and LLAMA_HEADERS.match(included)
        and not (ROOT / "csrc" / included).exists()
    ]
    assert not wrong, wrong


def test_only_the_chat_room_includes_common() -> None:
    headers = common_headers()
    if not headers:
        pytest.skip("vendor/llama.cpp is not filled")
    wrong = [
        f"{name_of(path)} includes {included}"
        for path in native_files()
        for included in includes(path)
        if room_of(path) != "chat"
        and (included in headers or included.startswith("common/"))
        and not (path.parent / included).exists()
        and not (ROOT / "csrc" / included).exists()
    ]
    assert not wrong, wrong


def test_own_headers_are_included_from_the_root() -> None:
    wrong = []
    for path in native_files():
        for match in re.finditer(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.MULTILINE):
            beside = path.parent / match.group(1)
            if ".." in match.group(1) or (room_of(path) and "/" not in match.group(1) and beside.exists()):
                wrong.append(f"{name_of(path)} includes {match.group(1)}")
    assert not wrong, wrong


# --- Python -----------------------------------------------------------------------------------------------------------


def module_name(path: Path) -> str:
    """Dotted, below shimmy: "server.app", "server" for its __init__, "__init__" for the package's own."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


def is_type_checking(node: ast.If) -> bool:
    return "TYPE_CHECKING" in ast.dump(node.test)


def top_level_imports(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run when the module is imported: outside of functions and of `if TYPE_CHECKING`."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If):
            yield from top_level_imports([] if is_type_checking(node) else node.body)
            yield from top_level_imports(node.orelse)
        elif isinstance(node, ast.Try):
            yield from top_level_imports([*node.body, *(s for h in node.handlers for s in h.body), *node.orelse])
        elif isinstance(node, ast.With | ast.ClassDef):
            yield from top_level_imports(node.body)


def imported_modules(path: Path) -> Iterator[str]:
    """What the module's top level imports of shimmy, dotted and below shimmy; "" is a name of the package itself."""
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in top_level_imports(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            # `import shimmy` alone loads nothing else.
            yield from (a.name.removeprefix("shimmy.") for a in node.names if a.name.startswith("shimmy."))
            continue
        source = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join(["shimmy", *above, *([node.module] if node.module else [])])
        if source == "shimmy":
            for alias in node.names:
                if alias.name.startswith("__"):
                    continue  # __version__ and the like are set in the package itself
                is_module = (PACKAGE / alias.name).is_dir() or (PACKAGE / f"{alias.name}.py").exists()
                yield alias.name if is_module or alias.name == "_core" else ""
        elif source.startswith("shimmy."):
            yield source.removeprefix("shimmy.")


def layer_of(module: str) -> str:
    return module if module in LAYERS else module.split(".")[0]


def test_every_module_has_its_layer() -> None:
    unknown = {layer_of(module_name(path)) for path in PACKAGE.rglob("*.py")} - LAYERS.keys()
    assert not unknown, f"add to LAYERS what these may import: {sorted(unknown)}"


def test_modules_import_only_what_is_below_them() -> None:
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        layer = layer_of(module_name(path))
        for imported in imported_modules(path):
            target = imported.split(".")[0]
            same = target == layer.split(".")[0] and target not in VALUES
            if not same and target not in LAYERS.get(layer, set()):
                wrong.append(f"{name_of(path)} imports shimmy{'.' * bool(imported)}{imported}")
    assert not wrong, wrong


def test_native_code_is_reached_by_its_layers_only() -> None:
    """The table above says it too; this says it once more in one line, for whoever edits the table."""
    for layer in ("discovery", "models", "server", "agent", "cli", "runner", "settings", "templates"):
        assert not LAYERS[layer] & NATIVE, layer


# --- every tracked file -----------------------------------------------------------------------------------------------


def tracked_files() -> list[Path]:
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
    except OSError:
        pytest.skip("git is not installed")
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name.decode() for name in done.stdout.split(b"\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def test_no_file_names_a_registry_or_a_machines_paths() -> None:
    wrong = []
    for path in tracked_files():
        data = path.read_bytes()
        if b"\0" in data[:8192]:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            wrong += [f"{name_of(path)}:{number}: {what}" for what, pattern in FORBIDDEN if pattern.search(line)]
    assert not wrong, "\n".join(wrong)


# --- the checks check -------------------------------------------------------------------------------------------------


def test_imports_are_found_where_they_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shimmy"
    (package / "server").mkdir(parents=True)
    (package / "errors.py").write_text("")
    module = package / "server" / "app.py"
    module.write_text(
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "import shimmy.models.manager\n"
        "from shimmy import LLM, errors\n"
        "from shimmy import _core\n"
        "from . import body\n"
        "from ..settings import Settings\n"
        "try:\n    import shimmy.async_engine\nexcept ImportError:\n    pass\n"
        "if TYPE_CHECKING:\n    from shimmy.llm import LLM\n"
        "def later():\n    from shimmy.pump import Pump\n"
    )
    monkeypatch.setattr("test_architecture.PACKAGE", package)
    assert list(imported_modules(module)) == [
        "models.manager", "", "errors", "_core", "server", "settings", "async_engine"
    ]  # fmt: skip


def test_llama_headers_are_told_from_ours() -> None:
    assert all(LLAMA_HEADERS.match(name) for name in ("llama.h", "ggml.h", "ggml-cpu.h", "ggml-backend.h", "gguf.h"))
    assert not any(LLAMA_HEADERS.match(name) for name in ("llama/model.h", "params.h", "chat.h"))
