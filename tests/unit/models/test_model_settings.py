from __future__ import annotations

from pathlib import Path

import pytest

from shimmy.models.model_settings import MAX_FILE_BYTES, load_model_settings
from shimmy.models.toml_lines import line_of
from shimmy.settings import SettingsError

ALL = """
# what may be set
[models."llama3:8b"]
aliases = ["assistant", "gpt-4o"]
context = 8192
template = "llama3"
system = \"\"\"
You are
brief.\"\"\"
adapters = { pirate = 0.5, "loras/legal.gguf" = 1 }
sampling = { temperature = 0.2, top_k = 20, dry_sequence_breakers = ["\\n"], logit_bias = { 5 = -1.5 } }
stop = ["<|end|>"]
max_tokens = 512
draft = "llama3:1b"
devices = ["CUDA0"]

[models.tiny.sampling]
seed = 7
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models.toml"


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_model_settings(path, required=True)
    return caught.value.message


def test_everything_that_may_be_set(path: Path) -> None:
    path.write_text(ALL)
    models = load_model_settings(path, required=True).models
    llama = models["llama3:8b"]
    assert (llama.aliases, llama.context, llama.template) == (("assistant", "gpt-4o"), 8192, "llama3")
    assert (llama.adapters, llama.stop, llama.max_tokens) == (
        {"pirate": 0.5, "loras/legal.gguf": 1.0},
        ("<|end|>",),
        512,
    )
    assert llama.sampling.sampling() == {
        "temperature": 0.2,
        "top_k": 20,
        "dry_sequence_breakers": ["\n"],
        "logit_bias": {5: -1.5},
    }
    assert (llama.draft, llama.devices, llama.system) == ("llama3:1b", ("CUDA0",), "You are\nbrief.")
    assert models["tiny"].sampling.sampling() == {"seed": 7}


def test_no_file(path: Path) -> None:
    assert load_model_settings(path, required=False).models == {}
    with pytest.raises(SettingsError, match=r"models\.toml do not exist"):
        load_model_settings(path, required=True)


def test_a_wrong_choice_is_told_what_there_is(path: Path) -> None:
    assert refusal(path, '[models.a]\n\ntune = "yes"') == (
        f"{path}:3: models.a.tune: Invalid enum value 'yes'; it is one of auto, on, off"
    )
    assert "one of auto, all" in refusal(path, '[models.a]\ngpu_layers = "some"')
    assert refusal(path, "[names.a]\nsplit = { b = -1 }") == f"{path}:2: names.a.split: Expected `float` > 0.0"


def test_unknown_keys_name_file_and_line(path: Path) -> None:
    base = '# c\n[models.m]\nsystem = """\n[models.m]\ncontxt = 1\n"""\n'
    assert refusal(path, f"{base}contxt = 5\n") == (
        f"{path}:7: unknown key 'contxt' in models.m; did you mean 'context'?"
    )
    assert refusal(path, f"{base}sampling = {{ temprature = 1 }}\n").startswith(
        f"{path}:7: unknown key 'temprature' in models.m.sampling"
    )
    assert f"{path}:4: unknown key 'x'" in refusal(path, "[models.m]\n\n[models.m.sampling]\nx = 1\n")
    assert f"{path}:1: unknown key 'model'; did you mean 'models'?" in refusal(path, "[model.m]\n")


def test_how_long_a_model_stays(path: Path) -> None:
    path.write_text("[models.a]\nkeep_alive = '1h'\npinned = true\n[models.b]\nkeep_alive = -1\n[models.c]\n")
    models = load_model_settings(path, required=True).models
    assert [(one.keep_alive, one.pinned) for one in models.values()] == [("1h", True), (-1, False), (None, False)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("context = 3", ">= 16"),
        ("context = '4096'", "Expected `int"),
        ("aliases = 'a'", "array"),
        ("adapters = { a = 'x' }", "float"),
        ("adapters = { a = 1000 }", "<= 100"),
        ("sampling = 3", "must be a table"),
        ("sampling.top_k = 1.5", "models.m.sampling.top_k"),
        ("max_tokens = 0", ">= 1"),
        ("draft = ''", "length >= 1"),
        ("keep_alive = 'soon'", "models.m.keep_alive: keep_alive must be a number of seconds or a duration"),
        ("keep_alive = ''", "models.m.keep_alive is empty"),
        ("keep_alive = true", "models.m.keep_alive"),
        ("pinned = 1", "Expected `bool`"),
    ],
)
def test_values_that_do_not_fit(path: Path, line: str, words: str) -> None:
    message = refusal(path, f"\n[models.m]\n{line}\n")
    assert message.startswith(f"{path}:3: ")
    assert words in message


def test_names_that_need_quotes(path: Path) -> None:
    assert 'models."a:b".context' in refusal(path, '[models."a:b"]\ncontext = 1\n')


def test_no_toml(path: Path) -> None:
    assert "line 2" in refusal(path, "[models.m]\n=")
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"models\.toml"):
        load_model_settings(path, required=True)
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(SettingsError, match="larger than"):
        load_model_settings(path, required=True)


def test_an_alias_of_two_models(path: Path) -> None:
    message = refusal(path, "[models.a]\naliases = ['x']\n[models.b]\naliases = ['X']\n")
    assert message == f"{path}:4: models.b.aliases: 'X' is an alias of 'a' already"


def test_lines() -> None:
    assert line_of(ALL, ("models", "llama3:8b", "sampling", "top_k")) == 11
    assert line_of(ALL, ("models", "tiny")) == 17
    assert line_of(ALL, ("models", "tiny", "sampling", "seed")) == 18
    assert line_of(ALL, ("models", "none")) is None
    assert line_of("a.b.c = 1\r\nd = [\n 1,\n]\ne = 2", ("e",)) == 5
    assert line_of("[[x]]\na = 1\n[[x]]\nb = 2", ("x", "b")) == 4
