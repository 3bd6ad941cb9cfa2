"""Grammars of tool calls as llama.cpp writes them, and what is left of them."""

from __future__ import annotations

import pytest

from shimmy.call_grammar import calls_at_once, check_names, whole_calls
from shimmy.errors import InvalidRequestError

REST = '\ntool-call ::= "<tool_call>" space\nuntil-7 ::= [^<]*'


@pytest.mark.parametrize(
    ("root", "left"),
    [
        ('"<|assistant|>\\n" space until-7? tool-call', '"<|assistant|>\\n" tool-call'),
        ('"say \\"hi\\"" space until-7? tool-calls', '"say \\"hi\\"" tool-calls'),
        ("space until-12? tool-call", "tool-call"),
        ("until-12? tool-call", "tool-call"),
        (
            '"a" space ("<think>" "\\n"? until-1 "\\n"? "</think>")? until-7? tool-calls',
            '"a" space ("<think>" "\\n"? until-1 "\\n"? "</think>")? tool-calls',
        ),
    ],
)
def test_no_text_comes_before_required_calls(root: str, left: str) -> None:
    assert calls_at_once(f"root ::= {root}{REST}") == f"root ::= {left}{REST}"


@pytest.mark.parametrize("root", ["tool-call | tool-calls", "space until-7? other", "space tool-call"])
def test_grammars_of_another_form_are_told(root: str) -> None:
    assert calls_at_once(f"root ::= {root}{REST}") is None


@pytest.mark.parametrize("listed", ["(tool-call? space)+", "(tool-call space)+"])
def test_a_list_of_calls_has_calls(listed: str) -> None:
    grammar = f"root ::= tool-calls{REST}\ntool-calls ::= {listed}"
    assert whole_calls(grammar, parallel=True).endswith("tool-calls ::= (tool-call space)+")
    assert whole_calls(grammar, parallel=False).endswith("tool-calls ::= tool-call space")
    assert whole_calls(REST, parallel=False) == REST


def test_names_that_a_grammar_cannot_tell_apart() -> None:
    def tools(*names: object) -> list[dict[str, object]]:
        return [{"type": "function", "function": {"name": name}} for name in names]

    check_names(tools("get_weather", "get_time", "日", "get_weather", None))
    check_names([{"type": "function"}, {"type": "function", "function": "x"}])
    for names, words in ((("calls",), "named 'calls'"), (("a.b", "a-b"), "'a.b' and 'a-b' differ")):
        with pytest.raises(InvalidRequestError, match=words):
            check_names(tools(*names))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("table", "table_schema"), "'table_schema' is named as .* for the arguments of the tool 'table'"),
        (("table-schema", "table"), "'table-schema' is named as .* of the tool 'table'"),
        (("table", "table_arg_my_row"), "'table_arg_my_row' .* for the parameter 'my_row' of the tool 'table'"),
        (("table", "table_arg_my_row_schema"), "for the parameter 'my_row'"),
        (("table", "table_schema_my_row"), "for the parameter 'my_row'"),
        (("table", "table_schema_my_row_kv"), "for the parameter 'my_row'"),
    ],
)
def test_names_of_rules_for_arguments(names: tuple[str, ...], words: str) -> None:
    parameters = {"type": "object", "properties": {"my_row": {"type": "object"}}}
    tools = [{"type": "function", "function": {"name": name, "parameters": parameters}} for name in names]
    with pytest.raises(InvalidRequestError, match=words) as refused:
        check_names(tools)
    assert refused.value.param == "tools"


def test_names_that_only_look_like_those_of_rules() -> None:
    parameters = {"type": "object", "properties": {"row": {"type": "object"}}}
    names = ("table", "table_schemas", "table_schema_version", "table_arg", "table_arg_rows", "schema")
    check_names([{"type": "function", "function": {"name": name, "parameters": parameters}} for name in names])
    check_names([{"type": "function", "function": {"name": "a", "parameters": {"properties": 1}}}])
