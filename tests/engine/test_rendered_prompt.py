"""Answers that go on with the text of the conversation's last message, in every template that the tests have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_fixtures import spec

from shimmy import LLM, ChatPrompt, _core
from shimmy.errors import InvalidRequestError
from shimmy.grammar import GrammarSpec
from shimmy.rendered_prompt import RenderedPrompt, begun_answer
from shimmy.request_defaults import RequestDefaults

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "tests/data/chat_templates", ROOT / "python/shimmy/templates")
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
SAID = "The capital of France is"
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
ENDS = {
    "deepseek_r1": f"<｜Assistant｜><think>\n</think>\n\n{SAID}",  # it cannot go without a thought
    "qwen3": f"<|im_start|>assistant\n<think>\n\n</think>\n\n{SAID}",
    "gpt_oss": f"<|start|>assistant<|channel|>final<|message|>{SAID}",
    "functionary": f">>>all\n{SAID}",
    "llama3": f"<|start_header_id|>assistant<|end_header_id|>\n\n{SAID}",
    "mistral": f"[/INST] {SAID}",
    "chatml": f"<|im_start|>assistant\n{SAID}",
    "gemma": f"<start_of_turn>model\n{SAID}",
    "openchat": f"GPT4 Correct Assistant: {SAID}",
    "phi": f"<|assistant|>\n{SAID}",
}


def rendered(source: str, said: str = SAID, tools: list[dict[str, Any]] | None = None, **fields: Any) -> RenderedPrompt:
    chat_format = _core.ChatFormat(source, "<s>", "</s>")

    def render(prompt: ChatPrompt) -> _core.RenderedChat:
        return chat_format.render(
            msgspec.json.encode(prompt.messages),
            tools=json.dumps(prompt.tools) if prompt.tools else "",
            add_generation_prompt=prompt.add_generation_prompt,
            enable_thinking=prompt.enable_thinking,
        )

    messages = [*QUESTION, {"role": "assistant", "content": said, **fields}]
    return begun_answer(ChatPrompt(messages=messages, tools=tools or [], continue_final_message=True), render)


def template(name: str) -> str:
    return next(path for folder in FOLDERS for path in folder.glob(f"{name}.jinja")).read_text()


def told(prompt: RenderedPrompt, *pieces: str) -> tuple[str, str]:
    """Text and reasoning of an answer that goes on with these."""
    parser = prompt.parser()
    parts = [parser.feed(piece, index == len(pieces) - 1) for index, piece in enumerate(pieces)]
    return "".join(part.content for part in parts), "".join(part.reasoning for part in parts)


def test_every_template_is_tried() -> None:
    assert {path.stem for folder in FOLDERS for path in folder.glob("*.jinja")} == ENDS.keys()


@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("name", ENDS)
def test_the_prompt_ends_with_the_text_and_the_answer_behind_it(name: str, tools: Any) -> None:
    prompt = rendered(template(name), tools=tools)
    assert prompt.text.endswith(ENDS[name])
    assert prompt.text.count(SAID) == 1
    assert told(prompt, " Par", "is", ".") == (" Paris.", "")


@pytest.mark.parametrize(
    ("said", "pieces", "text"),
    [
        ("less is <", ["", "b>", " so"], "b> so"),  # the parser waits whether a call begins
        ("less is <tool", ["b>"], "b>"),
        ("less is <tool", ["_bo", "x>"], "_box>"),
        ("line\n", ["next\n", ""], "next\n"),
        ("a < b ", ["so"], "so"),
        ("  \n indented", ["."], "."),
    ],
)
def test_nothing_of_the_text_is_told_again(said: str, pieces: list[str], text: str) -> None:
    for name in ("qwen3", "deepseek_r1", "gpt_oss", "llama3"):
        assert told(rendered(template(name), said, TOOLS), *pieces) == (text, ""), name


def test_a_call_behind_the_text() -> None:
    parser = rendered(template("qwen3"), "Let me look.", TOOLS).parser()
    part = parser.feed('\n<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>', True)
    assert [call.name for call in part.tool_calls] == ["look"]
    assert part.content.strip() == ""
    assert parser.has_tool_calls


def test_thoughts_before_the_text_are_not_told() -> None:
    prompt = rendered(template("gpt_oss"), reasoning_content="Paris, I think.")
    assert told(prompt, " Paris.") == (" Paris.", "")


def test_a_template_that_writes_texts_otherwise() -> None:
    source = "{% for m in messages %}[{{ m.role }}]{{ m.content | upper }}\n{% endfor %}"
    source += "{% if add_generation_prompt %}[assistant]{% endif %}"
    assert rendered(source).text == f"[user]WHAT IS THE CAPITAL OF FRANCE?\n[assistant]{SAID}"


def test_a_template_that_moves_the_system_prompt() -> None:
    """To the last question, and only if that is the last message: the answer is opened as ever."""
    source = "{% for m in messages[1:] %}{% if m.role == 'user' %}[INST] "
    source += "{% if loop.last %}{{ messages[0].content }} {% endif %}{{ m.content }}[/INST]"
    source += "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
    system = {"role": "system", "content": "Be brief."}
    chat_format = _core.ChatFormat(source)
    prompt = ChatPrompt(messages=[system, *QUESTION, {"role": "assistant", "content": SAID}])
    found = begun_answer(prompt, lambda one: chat_format.render(msgspec.json.encode(one.messages)))
    assert found.text == f"[INST] Be brief. {QUESTION[0]['content']}[/INST] {SAID}"


def test_a_template_that_wants_a_question_at_the_end() -> None:
    source = "{% if messages[-1].role != 'user' %}{{ raise_exception('ask') }}{% endif %}"
    source += "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    assert rendered(source).text == f"<user>{QUESTION[0]['content']}<assistant>{SAID}"


def test_a_call_that_is_begun_is_no_text() -> None:
    said = '<tool_call>\n{"name": "look", "arguments": {"at": '
    with pytest.raises(InvalidRequestError, match="leave out the marks"):
        rendered(template("qwen3"), said, TOOLS).parser()


@pytest.fixture(scope="module")
def llm() -> Any:
    with LLM(spec(context={"n_ctx": 512})) as loaded:
        yield loaded


def begun(said: str = SAID, **fields: Any) -> ChatPrompt:
    last = {"role": "assistant", "content": said}
    return ChatPrompt(messages=[*QUESTION, last], continue_final_message=True, **fields)


def test_the_model_goes_on(llm: LLM) -> None:
    answer = llm.generate(begun(), temperature=0)
    assert (answer.text, answer.finish_reason) == (" Paris.", "stop")
    assert answer.usage.completion_tokens < 6


def test_an_answer_that_goes_on_after_its_engine_ended(llm: LLM) -> None:
    whole = llm.generate(begun("The capital"), temperature=0)
    rest = llm.generate(begun("The capital"), temperature=0, answered=whole.token_ids[:2])
    assert rest.text == whole.text == " of France is Paris."  # its first output repeats what is answered


def test_a_grammar_is_of_what_follows(llm: LLM) -> None:
    assert llm.generate(begun(), temperature=0, grammar=GrammarSpec(choice=[" Rome", " Oslo"])).text in (
        " Rome",
        " Oslo",
    )


def test_a_demanded_call_cannot_follow(llm: LLM) -> None:
    with pytest.raises(InvalidRequestError, match="demands a call") as caught:
        llm.generate(begun(tools=TOOLS, tool_choice="required"))
    assert caught.value.param == "tool_choice"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (QUESTION, "is of role user"),
        ([*QUESTION, {"role": "assistant", "content": ""}], "has no text"),
        ([{"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}], "answers nothing"),
    ],
)
def test_what_cannot_be_gone_on_with(llm: LLM, messages: Any, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words) as caught:
        llm.generate(ChatPrompt(messages=messages, continue_final_message=True))
    assert caught.value.param == "messages[-1]"


def test_a_long_conversation_loses_its_middle_not_its_end(llm: LLM) -> None:
    turns = [{"role": "user", "content": "Count to 60."}, {"role": "assistant", "content": "one two " * 60}] * 5
    long = ChatPrompt(messages=[*turns, *QUESTION, {"role": "assistant", "content": SAID}], continue_final_message=True)
    answer = llm.generate(long, temperature=0, max_tokens=16, context_policy="truncate_middle")
    assert answer.text == " Paris."
    assert answer.usage.context is not None
    assert answer.usage.context.dropped_messages > 0


def test_defaults_come_before_it() -> None:
    prompt = RequestDefaults(system="Be brief.").conversation(begun())
    assert prompt.continue_final_message
    assert prompt.messages[-1]["content"] == SAID
