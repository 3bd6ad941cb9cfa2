"""The embedded demo model: its files, where they are found, and the generator that made its training data."""

from __future__ import annotations

import hashlib
import importlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from shimmy import demo_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool_modules() -> Iterator[dict[str, ModuleType]]:
    """The generator's modules, which live outside the package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield {
            name: importlib.import_module(f"demo_model.{name}") for name in ("corpus", "generator", "heldout", "chat")
        }


def digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("plain", "3059769cb789ca442ae0489ae921e2b56e8511ee0e33d58e5582515ddd7dd1f3"),
        ("pirate", "dc5a4baa6f3f5fcc1371d11b9edcf0d20e9d3ffed616ad22b5dfc572dbd4bd75"),
        ("terse", "81f49eb25ada6f246eb201893aec0303bc7fd17023522fcb4dccc742babfcfc9"),
    ],
)
def test_seeded_training_texts_are_pinned(tool_modules: dict[str, ModuleType], style: str, expected: str) -> None:
    texts = list(islice(tool_modules["corpus"].training_texts(42, style), 300))
    assert digest(texts) == expected


def test_seeded_tool_conversations_are_pinned(tool_modules: dict[str, ModuleType]) -> None:
    generator = tool_modules["generator"].Generator(5)
    texts = []
    for _ in range(200):
        chat = tool_modules["chat"].Chat(None)
        generator.memory = {}
        for block in generator.tool_chat(chat, 3):
            chat.msgs += block.msgs
        texts.append(chat.text())
    assert digest(texts) == "38161ae890d09dfd52fa16fd0c7f21eca680a20b85c4fc551607e552c9bf8b8e"


def test_heldout_cases_are_pinned_and_cover_every_skill(tool_modules: dict[str, ModuleType]) -> None:
    cases = tool_modules["heldout"].eval_cases(2)
    assert {case.skill for case in cases} == set(tool_modules["heldout"].EVAL_SKILLS)
    assert (
        digest(f"{case.skill}\n{case.prompt}\n{case.check}\n{case.answer}" for case in cases)
        == "a7313c268e9e6e7beab1119ccc5337d74a9ebcb148e9f6139cf7f83f7da66fa7"
    )


def test_training_never_sees_a_heldout_exchange(tool_modules: dict[str, ModuleType]) -> None:
    cases = tool_modules["heldout"].eval_cases(4)
    questions = {
        case.prompt.rsplit("<|im_start|>user\n", 1)[1] for case in cases if case.skill in ("facts", "capitals")
    }
    assert len(questions) == 8
    training = "\n".join(islice(tool_modules["corpus"].training_texts(0), 2000))
    assert not [question for question in questions if f"<|im_start|>user\n{question}" in training]


def test_paths_name_existing_gguf_files() -> None:
    adapters = demo_model.demo_adapter_paths()
    assert list(adapters) == ["pirate", "terse"]
    for path in (demo_model.demo_model_path(), demo_model.demo_draft_path(), *adapters.values()):
        with path.open("rb") as file:
            assert file.read(4) == b"GGUF"


def test_readme_names_every_file_with_its_size_and_hash() -> None:
    folder = demo_model.demo_model_path().parent
    rows = re.findall(
        r"^\| (\S+\.gguf) \|.*\| ([\d,]+) \| ([0-9a-f]{64}) \|$", (folder / "README.md").read_text(), re.M
    )
    assert sorted(name for name, _, _ in rows) == sorted(path.name for path in folder.glob("*.gguf"))
    for name, size, sha256 in rows:
        data = (folder / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (int(size.replace(",", "")), sha256)


def test_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path / package)
    with pytest.raises(FileNotFoundError, match=r"shimmy-mini\.gguf is missing from this installation"):
        demo_model.demo_model_path()


def test_importing_it_is_light() -> None:
    code = (
        "import sys, importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('demo_model', {demo_model.__file__!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "print(sorted({'numpy', 'msgspec', 'importlib.resources', 'shimmy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
