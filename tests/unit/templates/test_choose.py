from __future__ import annotations

from pathlib import Path

import pytest

from shimmy.errors import InvalidRequestError
from shimmy.templates.choose import MAX_TEMPLATE_BYTES, choose_template, family_template


def test_the_models_own_template_first() -> None:
    assert choose_template("llama", "Llama 3", None, has_own=True) is None


def test_the_option_wins() -> None:
    assert choose_template("llama", "Llama 3", "phi", has_own=True) == family_template("phi")


@pytest.mark.parametrize(
    ("architecture", "name", "family"),
    [
        ("llama", "Meta-Llama-3.1-8B-Instruct", "llama3"),
        ("llama", "llama3_8b", "llama3"),
        ("llama", "Hermes 2 Pro Llama 3 8B", "chatml"),
        ("llama", "openchat_3.5", "openchat"),
        ("llama", "Starling LM 7B", "openchat"),
        ("llama", "mistral-7b-instruct-v0.2", "mistral"),
        ("llama", "dolphin-2.6-mistral-7b", "chatml"),
        ("llama", "Mixtral 8x7B", "mistral"),
        ("mistral3", "ministral", "mistral"),
        ("gemma3", "whatever", "gemma"),
        ("phi3", "whatever", "phi"),
        ("phi2", "Phi 2", "chatml"),
        ("qwen3", "whatever", "chatml"),
        ("llama", "whatever", "chatml"),
        (None, None, "chatml"),
    ],
)
def test_the_family_by_name_and_architecture(architecture: str | None, name: str | None, family: str) -> None:
    assert choose_template(architecture, name, None, has_own=False) == family_template(family)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("{{ messages }} ü", encoding="utf-8")
    assert choose_template(None, None, str(path), has_own=True) == "{{ messages }} ü"


def test_a_name_that_is_neither() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        choose_template(None, None, "lama3", has_own=True)
    assert "chatml, gemma, llama3, mistral, openchat, phi. Did you mean llama3?" in str(caught.value)
    assert caught.value.param == "chat_template"


def test_unusable_files(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large").write_bytes(b" " * (MAX_TEMPLATE_BYTES + 1))
    for name, words in (("binary", "not UTF-8"), ("large", "larger than"), ("", "directory")):
        with pytest.raises(InvalidRequestError, match=words):
            choose_template(None, None, str(tmp_path / name), has_own=True)
