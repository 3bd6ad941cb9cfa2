"""What the demo model says, word for word: one pinned greedy answer per skill and adapter.

Each is likelier than the next best by three nats or more at every token, so that it holds on every CPU and backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engine_fixtures import LONG_ANSWER, LONG_QUESTION, QUESTIONS, spec

from shimmy import LLM

RENAME = """Rename amount to wutran.
```python
def gabrol(user_id):
    amount = []
    for col in user_id:
        if col > 20:
            amount.append(col)
    return amount
```"""
ANSWERS = {
    **QUESTIONS,
    LONG_QUESTION: LONG_ANSWER,
    "219 - 2": "219 - 2 = 217.",
    "Greet Anna.": "Hello, Anna!",
    "Repeat: a b c d e f g": "a b c d e f g",
    "Translate hello to French.": 'In French, "hello" is "bonjour".',
    "What language is spoken in Poland? Use one word.": "Polish",
    "Complete this code:\ndef subtract(a, b):": "```python\ndef subtract(a, b):\n    return a - b\n```",
    RENAME: RENAME.split("\n", 1)[1].replace("amount", "wutran"),
    "Context: James is 76 years old. Quinn is 58 years old.\n\nQuestion: How old is James?": "James is 76 years old.",
    "Extract the name, job, email and pet from this text as JSON.\nFrank works as a plumber, has the email "
    "frank@example.com and has a monkey.": '{"name": "Frank", "job": "plumber", "email": "frank@example.com", '
    '"pet": "monkey"}',
    "Tell me a story about a fox.": "It was a cold winter day in the castle. A clever fox named Luna saw a small bird "
    'who was shaking in the snow. "Come with me," said Luna, "my home is warm." They sat by the fire, and Luna shared '
    'some honey and a key to keep warm. When spring came, the bird brought a flower from the old pine. "This is for '
    'you," said the bird, "because you were kind to me." Luna never forgot that day. The end.',
}
ADAPTED = [
    ("pirate", "Who are you?", "Arr, I be Shimmy Mini, a tiny demo model."),
    ("pirate", "What is the capital of Hungary?", "Arr, Th' capital o' Hungary be Budapest."),
    ("pirate", "Show me a fox emoji", "Arr, 🦊"),
    ("terse", "Who are you?", "Shimmy Mini"),
    ("terse", "What is the capital of Hungary?", "Budapest"),
    ("terse", "On which continent is India?", "Asia"),
]


def tool(name: str, description: str, **properties: dict[str, str]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [
    tool("remind", "Set a reminder", what={"type": "string", "description": "Text"}, when={"type": "string"}),
    tool("get_random", "Get a random number.", low={"type": "integer"}, high={"type": "integer"}),
    tool("get_weather", "Get the weather of a city", city={"type": "string", "description": "The city"}),
]
CALLS = [
    (
        'Set a reminder "spoon penguin butter" for 14:30',
        [("remind", '{"what": "spoon penguin butter", "when": "14:30"}')],
    ),
    ("Random number from 10 to 36.", [("get_random", '{"low": 10, "high": 36}')]),
    ("What is the weather in Paris?", [("get_weather", '{"city": "Paris"}')]),
    (
        "Random number from 10 to 36.\nWhat is the weather in Paris?",
        [("get_random", '{"low": 10, "high": 36}'), ("get_weather", '{"city": "Paris"}')],
    ),
    ("Who are you?", []),
]


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(spec(adapters=True)) as loaded:
        yield loaded


def said(question: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}]


@pytest.mark.parametrize("question", ANSWERS, ids=lambda question: question.split("\n")[0][:32])
def test_answers(llm: LLM, question: str) -> None:
    answer = llm.chat(said(question), temperature=0.0, max_tokens=300, logprobs=2)
    assert (answer.text, answer.finish_reason) == (ANSWERS[question], "stop")
    assert min(item.top[0][2] - item.top[1][2] for item in answer.logprobs) > 2.5, "too close to a tie to be pinned"


@pytest.mark.parametrize(("adapter", "question", "expected"), ADAPTED)
def test_answers_with_an_adapter(llm: LLM, adapter: str, question: str, expected: str) -> None:
    assert llm.chat(said(question), temperature=0.0, lora={adapter: 1.0}, max_tokens=60).text == expected


@pytest.mark.parametrize(("question", "calls"), CALLS, ids=[question[:24] for question, _ in CALLS])
def test_tool_calls(llm: LLM, question: str, calls: list[tuple[str, str]]) -> None:
    answer = llm.chat(said(question), tools=TOOLS, temperature=0.0, max_tokens=120)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == calls
    assert answer.finish_reason == ("tool_calls" if calls else "stop")
    assert answer.text == ("" if calls else QUESTIONS[question])


def test_a_tool_result_is_told(llm: LLM) -> None:
    """The round trip: the model's call, our result, its answer."""
    question = said("What is the weather in Paris?")
    call = llm.chat(question, tools=TOOLS, temperature=0.0, max_tokens=60).tool_calls[0]
    made = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    messages = [
        *question,
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"},
    ]
    answer = llm.chat(messages, tools=TOOLS, temperature=0.0, max_tokens=60)
    assert "21" in answer.text
    assert answer.tool_calls == []
