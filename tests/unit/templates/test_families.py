from __future__ import annotations

from typing import Any

import pytest
from jinja2 import Environment, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shimmy.templates.choose import families, family_template

USER = [{"role": "user", "content": "Hi"}]
SYSTEM = [{"role": "system", "content": "Be brief."}, *USER]
TURNS = [*SYSTEM, {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Bye"}]

# (family, messages, add_generation_prompt, text): the formats as the families' own pages show them.
CASES: list[tuple[str, list[dict[str, Any]], bool, str]] = [
    ("chatml", USER, True, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
    ("chatml", SYSTEM, False, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"),
    (
        "chatml",
        TURNS,
        True,
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
    ),
    (
        "llama3",
        USER,
        True,
        "<BOS><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    (
        "llama3",
        TURNS,
        False,
        "<BOS><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>",
    ),
    ("openchat", USER, True, "<BOS>GPT4 Correct User: Hi<|end_of_turn|>GPT4 Correct Assistant:"),
    (
        "openchat",
        TURNS,
        True,
        "<BOS>Be brief.<|end_of_turn|>GPT4 Correct User: Hi<|end_of_turn|>"
        "GPT4 Correct Assistant: Hello!<|end_of_turn|>GPT4 Correct User: Bye<|end_of_turn|>GPT4 Correct Assistant:",
    ),
    ("gemma", USER, True, "<BOS><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"),
    (
        "gemma",
        TURNS,
        True,
        "<BOS><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n"
        "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
    ),
    ("mistral", USER, True, "<BOS> [INST] Hi [/INST]"),
    ("mistral", TURNS, True, "<BOS> [INST] Be brief.\n\nHi [/INST] Hello!<EOS> [INST] Bye [/INST]"),
    ("phi", USER, True, "<|user|>\nHi<|end|>\n<|assistant|>\n"),
    (
        "phi",
        TURNS,
        True,
        "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\nHello!<|end|>\n"
        "<|user|>\nBye<|end|>\n<|assistant|>\n",
    ),
]


def render(family: str, messages: list[dict[str, Any]], add_generation_prompt: bool, **options: Any) -> str:
    environment: Environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, **options)
    return environment.from_string(family_template(family)).render(
        messages=messages, add_generation_prompt=add_generation_prompt, bos_token="<BOS>", eos_token="<EOS>", tools=[]
    )


def test_every_family_has_cases() -> None:
    assert {case[0] for case in CASES} == set(families())
    assert families() == ("chatml", "gemma", "llama3", "mistral", "openchat", "phi")


@pytest.mark.parametrize(("family", "messages", "add_generation_prompt", "text"), CASES)
def test_documented_format(family: str, messages: list[dict[str, Any]], add_generation_prompt: bool, text: str) -> None:
    assert render(family, messages, add_generation_prompt) == text
    assert render(family, messages, add_generation_prompt, trim_blocks=True, lstrip_blocks=True) == text


@pytest.mark.parametrize("family", families())
def test_other_roles_and_empty_contents(family: str) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Time?"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "12:00"},
    ]
    text = render(family, messages, True)
    assert "Be brief." in text
    assert "12:00" in text
    assert "None" not in text
    assert "developer" not in text


@pytest.mark.parametrize("family", families())
def test_a_lone_system_message_is_not_lost(family: str) -> None:
    assert "Be brief." in render(family, SYSTEM[:1], True)


@pytest.mark.parametrize("family", families())
def test_a_conversation_only_grows(family: str) -> None:
    """The text of a longer conversation starts with that of a shorter one, so its KV cells can be reused."""
    prompt = render(family, SYSTEM, True)
    assert render(family, TURNS, True).startswith(prompt.rstrip("\n"))


@pytest.mark.parametrize("family", families())
def test_no_conversation_at_all(family: str) -> None:
    assert render(family, [], False) in ("", "<BOS>")
