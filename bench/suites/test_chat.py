"""Rendering conversations and taking answers apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from shimmy import _core, demo_model_path


def tools(count: int) -> str:
    parameters = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
    functions = [
        {"name": f"get_weather_{number}", "description": "The weather at a place", "parameters": parameters}
        for number in range(count)
    ]
    return json.dumps([{"type": "function", "function": function} for function in functions]) if functions else ""


def conversation(turns: int) -> str:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Answer in one sentence."}]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"What is {turn} plus {turn}?"})
        messages.append({"role": "assistant", "content": f"{turn} plus {turn} is {2 * turn}."})
    return json.dumps([*messages, {"role": "user", "content": "Thank you."}])


@pytest.fixture(scope="module")
def chat_format() -> _core.ChatFormat:
    model = _core.Model(demo_model_path(), _core.ModelParams(vocab_only=True))
    return _core.ChatFormat(model.chat_template or "")


@pytest.mark.parametrize("turns", [0, 4, 32])
def test_render(benchmark: BenchmarkFixture, chat_format: _core.ChatFormat, turns: int) -> None:
    benchmark(chat_format.render, conversation(turns))


def test_render_with_tools(benchmark: BenchmarkFixture, chat_format: _core.ChatFormat) -> None:
    benchmark(chat_format.render, conversation(2), tools=tools(8))


@pytest.mark.parametrize("n_tools", [0, 1])
def test_parse(benchmark: BenchmarkFixture, chat_format: _core.ChatFormat, n_tools: int) -> None:
    """An answer of 200 pieces, fed as it is written."""
    prompt = chat_format.render(conversation(1), tools=tools(n_tools))
    pieces = ["The ", "lamp ", "is ", "green. "] * 50

    def run() -> None:
        parser = _core.ChatParser(prompt)
        for piece in pieces:
            parser.feed(piece)
        parser.feed("", True)

    benchmark(run)


def test_compile_template(benchmark: BenchmarkFixture, chat_format: _core.ChatFormat) -> None:
    benchmark(_core.ChatFormat, chat_format.source)
