"""GBNF: the same texts as llama.cpp's own grammar, clear errors, and the grammars of tool calls.

tests/data/gbnf/llama_cpp.json holds grammars with texts that llama.cpp's llama_grammar (at the vendored commit) accepts
as a whole, takes as a beginning only, or refuses.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_fixtures import tokenizer
from grammar_walk import compiler, matcher, random_output, takes

from shimmy import _core
from shimmy.call_grammar import whole_triggers
from shimmy.errors import InvalidRequestError

ROOT = Path(__file__).resolve().parents[2]
RECORDED: dict[str, Any] = json.loads((ROOT / "tests/data/gbnf/llama_cpp.json").read_text())
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "note",
            "parameters": {
                "type": "object",
                "properties": {"data": {}, "tags": {"type": "array", "items": {"type": "string"}}},
                "required": ["data"],
            },
        },
    },
]


@pytest.mark.parametrize("name", RECORDED)
def test_takes_the_texts_that_llama_cpp_takes(name: str) -> None:
    recorded = RECORDED[name]
    start = matcher("gbnf", recorded["grammar"])
    for text in recorded["accepted"]:
        assert takes(start, text, bytewise=True), text
        assert takes(start, text), text
    for text in recorded["begun"]:
        assert takes(start, text, bytewise=True, whole=False), text
        assert not takes(start, text, bytewise=True), text
    for text in recorded["refused"]:
        assert not takes(start, text, bytewise=True, whole=False), text


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("root ::= x", "line 1: the rule x is not defined"),
        ('x ::= "a"', "no rule named root"),
        ('root ::= "a"\nroot ::= "b"', "root is defined twice"),
        ('root ::= "a" x\nx ::= x "b" | "c"', "line 2: the rule x begins with itself"),
        ('root ::= y\ny ::= z\nz ::= "a"? y', "begins with itself"),
        ("root ::= root", "begins with itself"),
        ("root ::= " + "(" * 100_000 + '"a"' + ")" * 100_000, "levels of parentheses"),
        ('root ::= ("a"', "line 1: a closing parenthesis"),
        ('root ::= "a', "ends within a literal"),
        ("root ::= [a", "ends within a literal or class"),
        ('root ::= "\\q"', "unknown escape"),
        ('root ::= "\\x4"', "2 hexadecimal digits"),
        ('root ::= "a"{5000}', "repeated more than 2000 times"),
        ('root ::= "a"{3,2}', "over the largest"),
        ("root ::= *", r"nothing before \* to repeat"),
        ("root = 5", "::= is missing"),
        ('root ::= "a" ] "b"', "end of the line is missing"),
        ("root ::= <[999999999]>", "no such token"),
        ("root ::= <nosuch>", "no such token"),
        ("\n".join(["root ::= r0"] + [f'r{i} ::= "a" r{i + 1}' for i in range(50_000)]), "256 KiB|262144|20000"),
        ("a" * 300_000, "at most 262144"),
        ("root ::= []", "matches no text"),
    ],
    ids=lambda value: value[:30],
)
def test_bad_grammars_are_named(grammar: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message) as caught:
        compiler().compile("gbnf", grammar)
    assert caught.value.param == "gbnf"


@pytest.mark.parametrize(
    "grammar",
    [
        "root ::= " + '"a"? ' * 100,
        'root ::= ("" | "a"?)*',
        'root ::= (("a"*)*)*',
        'root ::= (root2*)*\nroot2 ::= ("(" root2 ")")?',
        "\n".join(["root ::= r0"] + [f"r{i} ::= r{i + 1}" for i in range(10_000)] + ['r10000 ::= "a"']),
        "\n".join(["root ::= r0"] + [f'r{i} ::= "a" r{i + 1} | "b"' for i in range(5000)] + ['r5000 ::= "a"']),
        "\n".join(["root ::= r0"] + [f"r{i} ::= r{i + 1} r{i + 1}" for i in range(60)] + ['r60 ::= "a"']),
        'root ::= "a"{0,1000000}',
        'root ::= (("a"{0,2000}){0,2000}){0,2000}',
        'root ::= "(" root ")" | ' + " | ".join(f'"w{i}"' for i in range(3000)),
    ],
    ids=lambda value: value[:30],
)
def test_heavy_grammars_compile_or_are_refused(grammar: str) -> None:
    try:
        start = matcher("gbnf", grammar)
    except InvalidRequestError as error:
        assert error.param == "gbnf"
    else:
        start.forced()


def test_what_is_regular_is_one_lexeme() -> None:
    lark = _core.gbnf_to_lark('root ::= a "end"\na ::= [a-z] a | ""')
    assert re.match(r"start: T\d+\n", lark)


# --- tool calls -------------------------------------------------------------------------------------------------------


def template(name: str) -> Path:
    if name == "demo":
        return ROOT / "tools/demo_model/chat_template.jinja"
    return ROOT / f"tests/data/chat_templates/{name}.jinja"


def hermes(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def mistral(name: str, arguments: str) -> str:
    return f'[TOOL_CALLS] [{{"name": "{name}", "arguments": {arguments}, "id": "123456789"}}]'


def llama3(name: str, arguments: str) -> str:
    return f'{{"name": "{name}", "parameters": {arguments}}}'


def gpt_oss(name: str, arguments: str) -> str:
    return f" to=functions.{name}<|channel|>commentary json<|message|>{arguments}"


def functionary(name: str, arguments: str) -> str:
    return f"{name}\n{arguments}"


FAMILIES = {
    "demo": hermes,
    "qwen3": hermes,
    "mistral": mistral,
    "llama3": llama3,
    "gpt_oss": gpt_oss,
    "functionary": functionary,
}


@cache
def rendered(family: str, tool_choice: str) -> Any:
    chat = _core.ChatFormat(template(family).read_text(), "<s>", "</s>")
    messages = json.dumps([{"role": "user", "content": "hello"}])
    return chat.render(messages, tools=json.dumps(TOOLS), tool_choice=tool_choice)


def tool_matcher(family: str, tool_choice: str) -> _core.GrammarMatcher:
    prompt = rendered(family, tool_choice)
    return matcher(
        "gbnf",
        prompt.grammar,
        lazy=prompt.grammar_lazy,
        triggers=whole_triggers(prompt.triggers) if prompt.grammar_lazy else [],
        prefill="" if prompt.grammar_lazy else prompt.generation_prompt,
        preserved_tokens=prompt.preserved_tokens,
    )


CASES = [
    (family, choice) for family in FAMILIES for choice in ("required", "auto") if (family, choice) != ("llama3", "auto")
]


@pytest.mark.parametrize(("family", "tool_choice"), CASES)
def test_right_tool_calls_are_taken_and_wrong_ones_are_not(family: str, tool_choice: str) -> None:
    start = tool_matcher(family, tool_choice)
    call = FAMILIES[family]
    for name, arguments in [
        ("get_weather", '{"city": "Zürich"}'),
        ("get_weather", '{"city": "Oslo", "unit": "c"}'),
        ("note", '{"data": {"a": [1, 2.5, null, {"b": "c\\n"}]}, "tags": ["x", "y"]}'),
        ("note", '{"data": []}'),
    ]:
        assert takes(start, call(name, arguments)), arguments
        assert takes(start, call(name, arguments), bytewise=True), arguments
    for name, arguments in [
        ("get_weather", "{}"),
        ("get_weather", '{"unit": "c"}'),
        ("get_weather", '{"city": "Oslo", "unit": "k"}'),
        ("get_weather", '{"city": 5}'),
        ("get_forecast", '{"city": "Oslo"}'),
        ("note", '{"tags": []}'),
        ("note", '{"data": [1,}'),
    ]:
        assert not takes(start, call(name, arguments)), arguments
    assert takes(start, "Just some words.") is (tool_choice == "auto")


@pytest.mark.parametrize(
    ("family", "before"),
    [
        ("gpt_oss", "<|channel|>analysis<|message|>Let me look.<|end|><|start|>assistant"),
        ("gpt_oss", "<|channel|>analysis<|message|>It goes to=functions or to<|end|><|start|>assistant"),
        ("functionary", "all\nI look > it up.\n>>>"),
        ("functionary", "all\nall of it>>>"),
    ],
)
def test_calls_behind_other_parts_are_enforced(family: str, before: str) -> None:
    start = tool_matcher(family, "auto")
    for bytewise in (False, True):
        assert takes(start, before + FAMILIES[family]("get_weather", '{"city": "Oslo"}'), bytewise=bytewise)
        assert not takes(start, before + FAMILIES[family]("get_weather", '{"city": 5}'), bytewise=bytewise)
        assert not takes(start, before + FAMILIES[family]("get_forecast", '{"city": "Oslo"}'), bytewise=bytewise)
    in_channel = '<|channel|>commentary to=functions.get_weather json<|message|>{"city": '
    if family == "gpt_oss":
        assert takes(start, before + in_channel + '"Oslo"}')
        assert not takes(start, before + in_channel + "7}")
        assert takes(start, in_channel + '"Oslo"}')
        assert not takes(start, in_channel + "7}")


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="is no pattern") as caught:
        matcher("gbnf", 'root ::= "a"', lazy=True, triggers=[("pattern", "(a")])
    assert caught.value.param == "triggers"


def test_what_a_pattern_refuses_is_masked() -> None:
    start = matcher("gbnf", 'root ::= "<" [a-c] ">"', lazy=True, triggers=[("pattern", "<[a-z]+>")])
    assert takes(start, "2 < 3 and <a>")
    assert not takes(start, "see <d>")
    start = matcher("gbnf", 'root ::= "<" [a-c] ">"', lazy=True, triggers=[("pattern", "<[a-z]+>")])
    for token in tokenizer().encode("see <d", add_special=False):
        start.accept(token)
    logits = np.zeros(tokenizer().n_vocab, dtype=np.float32)
    start.mask(logits)
    refused = {tokenizer().piece(token) for token in np.flatnonzero(np.isneginf(logits)).tolist()}
    assert b">" in refused
    assert b"a" not in refused


def test_reasoning_may_come_before_a_required_call() -> None:
    thought = "<think>\nIf a < b, then <tool> it is" + " and so on" * 200 + ".\n</think>\n\n"
    start = tool_matcher("qwen3", "required")
    assert takes(start, thought + hermes("get_weather", '{"city": "Oslo"}'))
    assert not takes(start, thought + hermes("get_weather", "{}"))


@pytest.mark.parametrize("family", ["demo", "qwen3", "mistral"])
def test_random_calls_after_the_trigger_are_tool_calls(family: str) -> None:
    start = tool_matcher(family, "auto")
    [(_, word)] = rendered(family, "auto").triggers
    for token in tokenizer().encode(word, add_special=False, parse_special=False):
        start.accept(token)
    assert not start.awaiting
    texts = [random_output(start, seed) for seed in range(4)]
    for text in texts:
        if text is not None:
            parser = _core.ChatParser(rendered(family, "auto"))
            parser.feed(word + text, True)
            assert parser.has_tool_calls, text
    assert any(texts)
