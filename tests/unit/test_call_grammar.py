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
