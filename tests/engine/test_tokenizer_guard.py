"""Long runs of one kind of character in every pre-tokenizer that llama.cpp has, where its own regular expressions
overflow the stack or take forever; and that cutting a text first changes none of its tokens."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from shimmy._core import Model, ModelParams, Tokenizer
from vocabularies import ENCODERS, PRE_TOKENIZERS, RUNS, SPECIALS, run_of, write_vocabulary

LOSSLESS = [name for name in PRE_TOKENIZERS if name not in ("whitespace", "sarvam-moe")]
VENDORED = Path(__file__).parents[2] / "vendor" / "llama.cpp" / "src" / "llama-vocab.cpp"
PARTS = ["the", " quick", " ", "  ", "\n", "\r\n", "\t", "A", "Word\n", "x\n\n", "!", "?!\n", "1", "123", "4567", "é",
         "ß\n", "一二", "。", "🦊", "'s", "'LL", "\u3000", "\u0301", "_", "{", '"']  # fmt: skip
Load = Callable[[str], Tokenizer]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    folder = tmp_path_factory.mktemp("vocabularies")

    @cache
    def load(name: str) -> Tokenizer:
        path = folder / f"{name}.gguf"
        write_vocabulary(path, name)
        return Tokenizer(Model(path, ModelParams(vocab_only=True)))

    return load


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special=False)


def encode_each(tokenizer: Tokenizer, texts: list[str]) -> list[int]:
    return [token for text in texts for token in encode(tokenizer, text)]


def some_text(seed: str, n_parts: int) -> str:
    chance = random.Random(seed)
    parts = [*PARTS, *SPECIALS[:2]]
    return "".join(chance.choice(parts) * chance.choice([1, 1, 1, 2, 5]) for _ in range(n_parts))


@pytest.mark.skipif(not VENDORED.exists(), reason="the pinned sources are not here")
def test_every_pre_tokenizer_is_in_the_list() -> None:
    names: list[str] = []
    by_type: dict[str, set[str]] = {}
    for line in VENDORED.read_text().splitlines():
        names += re.findall(r'tokenizer_pre == "([^"]+)"', line)
        if found := re.search(r"pre_type = (LLAMA_VOCAB_PRE_TYPE_\w+);", line):
            by_type.setdefault(found[1], set()).update(names)
            names.clear()
    missing = {kind: known for kind, known in by_type.items() if known and not known & set(PRE_TOKENIZERS)}
    assert not missing


@pytest.mark.parametrize("name", ENCODERS)
def test_26_000_of_any_character(load: Load, name: str) -> None:
    for pattern in RUNS:
        text = run_of(pattern, 26_000)
        tokens = encode(load(name), text)
        if name in LOSSLESS:
            assert load(name).decode(tokens) == text, repr(pattern)


@pytest.mark.parametrize(("size", "n"), [(100_000, 6), (1_000_000, 1)])
def test_longer_runs(load: Load, size: int, n: int) -> None:
    chance = random.Random(size)
    for name in chance.sample(LOSSLESS, n):
        text = run_of(chance.choice(RUNS), size)
        assert load(name).decode(encode(load(name), text)) == text, name


ENCODE = """
import sys
from shimmy._core import Model, ModelParams, Tokenizer
from vocabularies import run_of
tokenizer = Tokenizer(Model(sys.argv[1], ModelParams(vocab_only=True)))
text = run_of(sys.argv[2], 10_000_000)
print(tokenizer.decode(tokenizer.encode(text, add_special=False)) == text)
"""


@pytest.mark.parametrize(("name", "pattern"), [("llama-bpe", "A"), ("gpt-2", "the quick fox "), ("qwen2", "1")])
def test_10_000_000_characters(tmp_path: Path, name: str, pattern: str) -> None:
    """In a process of its own, which a stack that overflows would take with it."""
    path = write_vocabulary(tmp_path / "vocabulary.gguf", name)
    folders = [str(Path(__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", ENCODE, str(path), pattern],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize("name", ["superbpe", "jais-2", "tekken"])
@pytest.mark.parametrize("character", ["7", " ", "\t"])
def test_runs_that_take_quadratic_time_uncut(load: Load, name: str, character: str) -> None:
    text = "a" + character * 20_000 + "b"
    assert load(name).decode(encode(load(name), text)) == text


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_a_cut_between_a_letter_and_a_newline_changes_no_token(load: Load, name: str) -> None:
    text = some_text(name, 100) + "x\n"
    pieces = re.split(r"(?<=[A-Za-z])(?=\n)", text)
    assert len(pieces) > 1
    assert encode_each(load(name), pieces) == encode(load(name), text)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_cut_around_a_special_token_changes_no_token(load: Load, name: str) -> None:
    parts = [some_text(f"{name} {i}", 20) + SPECIALS[i % 2] for i in range(4)]
    assert encode_each(load(name), parts) == encode(load(name), "".join(parts))


@pytest.mark.parametrize("name", random.Random(7).sample(ENCODERS, 8))
def test_a_long_text_has_the_tokens_of_its_parts(load: Load, name: str) -> None:
    """It is cut by the tokenizer, at places that are not these."""
    parts = ["\n" + some_text(f"{name} {i}", 30).replace("<", "(") * 150 + "x" for i in range(4)]
    text = "".join(parts)
    assert len(text.encode()) > 65_536
    assert encode(load(name), text) == encode_each(load(name), parts)


def test_groups_inside_of_runs_are_cut_apart_without_a_change(load: Load) -> None:
    digits, spaces = load("superbpe"), load("jais-2")
    for n in (3, 33, 58, 60):
        parts = encode(digits, "a" + "7" * (n % 30)) + encode(digits, "7" * (n - n % 30) + "b")
        assert encode(digits, "a" + "7" * n + "b") == parts
    for n in (513, 1100, 4000):
        for end in ("b", "!", ""):
            parts = encode(spaces, "a" + " " * 512) + encode(spaces, " " * (n - 512) + end)
            assert encode(spaces, "a" + " " * n + end) == parts
    long = encode(spaces, "a" + " " * 30_000 + "b")
    assert long == encode(spaces, "a" + " " * 4_096) + encode(spaces, " " * (30_000 - 4_096) + "b")


@pytest.mark.parametrize("name", ["llama-bpe", "llama", "t5", "bert"])
def test_many_special_tokens(load: Load, name: str) -> None:
    """llama.cpp's own search for them takes a time that grows with the square of their number."""
    special = encode(load(name), SPECIALS[1])
    assert encode(load(name), SPECIALS[1] * 20_000) == special * 20_000


@pytest.mark.parametrize("name", ["llama-bpe", "llama", "t5", "bert"])
@pytest.mark.parametrize("times", [1, 2000])
def test_special_tokens_around_a_cut_text(load: Load, name: str, times: int) -> None:
    text = "the fox\n" * times + SPECIALS[1] * times
    tokenizer = load(name)
    around = tokenizer.encode("", add_special=True)
    with_specials, without = (tokenizer.encode(text, add_special=special) for special in (True, False))
    start = len(around) - (len(around) > 1 or tokenizer.add_eos)
    assert with_specials == around[:start] + without + around[start:]


def test_characters_that_are_no_tokens_take_their_bytes(load: Load) -> None:
    """llama.cpp's SentencePiece makes room for each of them anew: a day for ten times as many as these."""
    assert len(encode(load("llama"), "🦊" * 1_000_000)) >= 4_000_000
