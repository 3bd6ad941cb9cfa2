"""`shimmy._core.ChatFormat` and `ChatParser`: what Python sees. The dialects are tested in tests/cpp."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shimmy import _core as core
from shimmy.errors import InvalidRequestError, TemplateError

ROOT = Path(__file__).resolve().parents[2]
HELLO = [{"role": "user", "content": "hello"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich 🌧"}}\n</tool_call>'


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


@pytest.fixture(scope="module")
def demo() -> Any:
    return core.ChatFormat((ROOT / "tools/demo_model/chat_template.jinja").read_text())


@pytest.fixture(scope="module")
def qwen3() -> Any:
    return core.ChatFormat((ROOT / "tests/data/chat_templates/qwen3.jinja").read_text())


def collect(prompt: Any, pieces: list[bytes]) -> tuple[dict[str, Any], bool]:
    """The message that a client puts together, and whether it ends in tool calls."""
    parser = core.ChatParser(prompt)
    message: dict[str, Any] = {"content": "", "reasoning": "", "calls": []}
    for index, piece in enumerate(pieces):
        delta = parser.feed(piece, index == len(pieces) - 1)
        message["content"] += delta.content
        message["reasoning"] += delta.reasoning
        for part in delta.tool_calls:
            if part.index == len(message["calls"]):
                assert part.id.startswith("call_")
                message["calls"].append({"name": part.name, "arguments": part.arguments})
            else:
                assert part.id is None
                assert part.name is None
                message["calls"][part.index]["arguments"] += part.arguments
    return message, parser.has_tool_calls


def test_renders_text_and_bytes_alike(demo: Any) -> None:
    prompt = demo.render(encode(HELLO))
    assert prompt.prompt.endswith("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n")
    assert prompt.prompt == demo.render(json.dumps(HELLO)).prompt
    assert prompt.generation_prompt == "<|im_start|>assistant\n"
    assert prompt.starts_with_bos is False
    assert prompt.stops == []
    assert (prompt.grammar, prompt.grammar_lazy, prompt.triggers) == ("", False, [])


def test_caps_and_source(demo: Any, qwen3: Any) -> None:
    assert demo.caps["tools"] and demo.caps["tool_calls"] and demo.caps["system_role"]
    assert demo.caps["thinking"] is False
    assert qwen3.caps["thinking"] is True
    assert demo.source == (ROOT / "tools/demo_model/chat_template.jinja").read_text()


def test_bos_token_of_the_model() -> None:
    chat = core.ChatFormat("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", "<s>", "</s>")
    prompt = chat.render(encode(HELLO))
    assert prompt.prompt == "<s>hello</s>"
    assert prompt.starts_with_bos is True


def test_a_call_streamed_by_bytes_is_the_call_at_once(demo: Any) -> None:
    prompt = demo.render(encode(HELLO), tools=encode(TOOLS))
    assert prompt.grammar_lazy is True
    assert prompt.triggers[0][0] == "word"
    raw = ("Look: " + CALL).encode()
    whole = collect(prompt, [raw])
    assert collect(prompt, [bytes([byte]) for byte in raw]) == whole
    message, has_calls = whole
    assert has_calls is True
    assert message["content"].strip() == "Look:"
    assert [call["name"] for call in message["calls"]] == ["get_weather"]
    assert json.loads(message["calls"][0]["arguments"]) == {"city": "Zürich 🌧"}


def test_reasoning_is_told_from_content(qwen3: Any) -> None:
    prompt = qwen3.render(encode(HELLO))
    assert (prompt.supports_thinking, prompt.thinking_start) == (True, "<think>")
    message, has_calls = collect(prompt, [b"<think>\nHm", b"m.\n</thi", b"nk>\n\nYes."])
    assert message["reasoning"].strip() == "Hmm."
    assert message["content"] == "Yes."
    assert has_calls is False


def test_thinking_can_be_switched_off(qwen3: Any) -> None:
    assert qwen3.render(encode(HELLO), enable_thinking=False).prompt.endswith("</think>\n\n")
    kwargs = encode({"enable_thinking": False})
    assert qwen3.render(encode(HELLO), template_kwargs=kwargs).prompt.endswith("</think>\n\n")


def test_broken_calls_keep_their_text(demo: Any) -> None:
    prompt = demo.render(encode(HELLO), tools=encode(TOOLS))
    text = '<tool_call>\n{"name": "get_weather", "arguments": nonsense}\n</tool_call>'
    message, has_calls = collect(prompt, [text.encode()])
    assert message["content"] == text
    assert has_calls is False


def test_bytes_that_are_no_text_are_replaced(demo: Any) -> None:
    message, _ = collect(demo.render(encode(HELLO)), [b"a\xffb", b"\xe2\x82"])
    assert message["content"] == "a\ufffdb\ufffd"


def test_a_delta_is_true_when_it_adds_something(demo: Any) -> None:
    parser = core.ChatParser(demo.render(encode(HELLO)))
    assert parser.feed("x")
    assert not parser.feed("")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([], "messages"),
        ({}, "messages"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": "x"}, {"role": 5, "content": "x"}], "messages[1].role"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content[0].type"),
    ],
)
def test_wrong_shapes_name_their_field(demo: Any, messages: Any, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        demo.render(encode(messages))
    assert caught.value.param == param
    assert str(caught.value).startswith(param)


def test_wrong_options_name_their_field(demo: Any) -> None:
    with pytest.raises(InvalidRequestError, match="known are auto, required and none"):
        demo.render(encode(HELLO), tool_choice="any")
    with pytest.raises(InvalidRequestError, match=r"template_kwargs\.tools cannot be set"):
        demo.render(encode(HELLO), template_kwargs=encode({"tools": []}))
    with pytest.raises(TypeError):
        demo.render(encode(HELLO), enable_thinking=1)
    with pytest.raises(TypeError):
        demo.render(HELLO)


def test_the_templates_own_refusal() -> None:
    chat = core.ChatFormat("{% if messages|length > 1 %}{{ raise_exception('one message only') }}{% endif %}")
    with pytest.raises(TemplateError, match="refuses the messages: one message only"):
        chat.render(encode(HELLO * 2))


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
        "{% if true %}" * 10_000,
        "{{ 1" + "+1" * 100_000 + " }}",
        "x" * 300_000,
        "{% for",
    ],
    ids=["parentheses", "blocks", "chain", "size", "syntax"],
)
def test_hostile_templates_are_refused_when_compiled(source: str) -> None:
    with pytest.raises(TemplateError):
        core.ChatFormat(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns | tojson }}",
    ],
    ids=["range", "repetition", "recursion", "cycle"],
)
def test_hostile_templates_are_refused_when_run(source: str) -> None:
    with pytest.raises(TemplateError):
        core.ChatFormat(source).render(encode(HELLO))


def test_other_python_threads_run_during_a_render(demo: Any) -> None:
    conversation = encode([{"role": "user", "content": "x" * 200}] * 2000)

    def counted() -> int:
        thread = threading.Thread(target=demo.render, args=(conversation,))
        thread.start()
        count = 0
        while thread.is_alive():
            count += 1
            time.sleep(0.001)
        thread.join()
        return count

    assert any(counted() > 2 for _ in range(10))  # the machine may leave this thread no time


def test_nothing_of_a_schema_reaches_stderr(demo: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """common/ prints the patterns that it leaves out of a grammar."""
    tools = json.loads(json.dumps(TOOLS))
    tools[0]["function"]["parameters"]["properties"]["city"]["pattern"] = "^(?!secret-canary)[a-z]+$"
    prompt = demo.render(encode(HELLO), tools=encode(tools), tool_choice="required")
    assert "get_weather" in prompt.grammar
    assert capfd.readouterr() == ("", "")
