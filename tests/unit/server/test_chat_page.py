"""What the page to chat on does, in Chromium, with engines that do what the prompt says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from chromium import Tab

OpenTab = Callable[..., Tab]

TOOLS = '[{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]'


@pytest.fixture
def tab(open_tab: OpenTab) -> Tab:
    return open_tab()


def test_an_answer_is_shown_while_it_comes(tab: Tab) -> None:
    tab.send("slow 1000")
    tab.page.get_by_text("0 1 2 3").wait_for()
    assert tab.page.is_visible("#stop")
    assert tab.page.locator(".assistant").get_attribute("aria-busy") == "true"
    tab.page.press("#prompt", "Escape")
    tab.idle()
    assert tab.page.locator(".assistant").get_attribute("aria-busy") is None


@pytest.mark.parametrize("way", ["button", "key"])
def test_stopping_keeps_what_came(tab: Tab, server: Any, way: str) -> None:
    tab.send("slow 100000")
    tab.page.get_by_text("0 1 2 3").wait_for()
    if way == "button":
        tab.page.click("#stop")
    else:
        tab.page.press("body", "Escape")
    tab.idle()
    assert tab.answer.startswith("0 1 2 3")
    assert "Stopped." in tab.page.inner_text(".assistant .actions")
    counted = tab.page.locator("#numbers span", has_text="tokens")
    tab.until(lambda: counted.count() > 0 and int(counted.inner_text().split()[0]) >= len(tab.answer.split()))
    server.wait_until(lambda: len(server.engine.cancelled) == 1)
    assert tab.ask("and now") == "and now"
    assert [one["role"] for one in tab.asked()[-1]["messages"]] == ["user", "assistant", "user"]


def test_a_question_waits_for_the_list_of_models(tab: Tab) -> None:
    tab.page.route("**/api/models", lambda route: (tab.page.wait_for_timeout(300), route.continue_()))
    tab.page.reload(wait_until="commit")
    tab.page.wait_for_selector("#send")
    tab.ask("early")
    assert [one["messages"] for one in tab.asked()] == [[{"role": "user", "content": "early"}]]


def test_a_question_waits_for_the_script(tab: Tab) -> None:
    held: list[Any] = []
    tab.page.route("**/page/chat.js", lambda route: held.append(route))
    tab.page.reload(wait_until="commit")
    tab.page.wait_for_selector("#send:disabled")
    tab.page.fill("#prompt", "early")
    tab.until(lambda: bool(held))
    assert tab.page.is_disabled("#send")
    held[0].continue_()
    tab.page.click("#send")
    tab.until(lambda: len(tab.asked()) == 1)
    assert tab.asked()[0]["messages"] == [{"role": "user", "content": "early"}]


def test_stopping_before_an_answer_gives_the_question_back(tab: Tab) -> None:
    tab.send("hang")
    tab.page.wait_for_selector("#stop:visible")
    tab.page.press("body", "Escape")
    tab.idle()
    assert tab.page.input_value("#prompt") == "hang"
    assert tab.page.locator(".turn").count() == 0
    assert tab.ask("something else") == "something else"
    assert len(tab.asked()[-1]["messages"]) == 1


def test_enter_sends_and_shift_enter_breaks_the_line(tab: Tab) -> None:
    tab.page.type("#prompt", "one")
    tab.page.press("#prompt", "Shift+Enter")
    tab.page.type("#prompt", "two")
    assert not tab.asked()
    tab.page.press("#prompt", "Enter")
    tab.page.locator(".assistant").wait_for()
    tab.idle()
    assert tab.asked()[0]["messages"] == [{"role": "user", "content": "one\ntwo"}]
    assert tab.page.input_value("#prompt") == ""


def test_models_are_chosen_loaded_and_unloaded(tab: Tab) -> None:
    tab.page.select_option("#model", "org/chat:8b")
    load = tab.page.locator("#load")
    if load.inner_text() == "Unload":  # by another test
        load.click()
    tab.page.locator("#model-state", has_text="unloaded").wait_for()
    load.click()
    tab.page.get_by_role("button", name="Unload").wait_for()
    assert tab.page.inner_text("#model-state") == "loaded"
    assert tab.page.locator('optgroup[label="Loaded"] option[value="org/chat:8b"]').count() == 1
    tab.ask("hello")
    assert tab.asked()[-1]["model"] == "org/chat:8b"
    assert "org/chat:8b" in tab.page.inner_text(".assistant .actions")
    tab.page.reload()
    tab.page.locator("#model-state", has_text="loaded").wait_for()
    assert tab.page.input_value("#model") == "org/chat:8b"
    load.click()
    tab.page.get_by_role("button", name="Load", exact=True).wait_for()
    assert tab.page.inner_text("#model-state") == "unloaded"


def test_a_model_that_cannot_be_loaded_says_why(tab: Tab) -> None:
    tab.page.select_option("#model", "broken")
    tab.page.click("#load")
    tab.page.locator("[role=alert]").wait_for()
    assert "bad magic" in tab.problem
    tab.page.get_by_role("button", name="Load", exact=True).wait_for()


def test_what_is_not_set_is_not_sent(tab: Tab) -> None:
    tab.ask("hello")
    assert tab.asked()[0] == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_settings_are_sent_and_kept(tab: Tab) -> None:
    numbers = {"temperature": 0.3, "top_p": 0.92, "top_k": 20, "min_p": 0.005, "repeat_penalty": 1.07, "seed": 7}
    for name, value in {**numbers, "max_tokens": 5}.items():
        tab.page.fill(f"#{name}", str(value))
    tab.page.select_option("#reasoning_effort", "low")
    tab.page.select_option("#context_policy", "truncate_middle")
    tab.page.fill("#system", "Be brief.")
    tab.page.fill("#tools", TOOLS)
    tab.page.fill("#schema", '{"type": "object"}')
    tab.page.reload()
    tab.ask("count 9")
    body = tab.asked()[0]
    assert {name: body[name] for name in numbers} == numbers
    assert body["max_tokens"] == 5
    assert body["reasoning_effort"] == "low"
    assert body["context_policy"] == "truncate_middle"
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["tools"] == json.loads(TOOLS)
    assert body["response_format"]["json_schema"] == {"name": "answer", "schema": {"type": "object"}}
    assert "Cut at the limit of tokens." in tab.page.inner_text(".assistant .actions")
    tab.page.click("button[type=reset]")
    tab.ask("count 2")
    assert tab.asked()[1].keys() == {"model", "messages", "stream", "stream_options"}


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("temperature", "-1", "Temperature: "),
        ("top_k", "1.5", "Top k: "),
        ("tools", "[{", "Tools: "),
        ("schema", "{'a': 1}", "Answer's JSON schema: "),
    ],
)
def test_a_setting_that_cannot_be_sent_is_named(tab: Tab, field: str, value: str, told: str) -> None:
    tab.page.fill(f"#{field}", value)
    tab.send("hello")
    tab.page.locator("[role=alert]").wait_for()
    assert tab.problem.startswith(told)
    assert tab.page.input_value("#prompt") == "hello"
    assert tab.page.evaluate("document.activeElement.id") == field
    beside = tab.page.locator(f"#{field}-wrong")
    assert told + beside.inner_text() == tab.problem
    tab.page.fill(f"#{field}", "")
    assert beside.count() == 0
    assert not tab.asked()


def test_speed_counts_tokens_and_the_cache_is_shown(tab: Tab) -> None:
    tab.send("slow 200")
    counted = tab.page.locator("#numbers", has_text="tokens")
    counted.wait_for()
    assert "tok/s" in counted.inner_text()
    tab.idle()
    told = tab.page.inner_text("#numbers")
    assert "200 tokens" in told
    assert "prompt 2, 1 cached" in told
    lists = [one.url for one in tab.requests if "/v1/requests" in one.url]
    assert lists  # what was counted on the way is what the server says


def test_tokens_are_those_of_the_server_not_pieces(tab: Tab) -> None:
    """The four deltas of two calls are four tokens here; the first comes with a chunk of its own for the role."""
    tab.page.fill("#tools", TOOLS)
    tab.ask("tool get_weather")
    assert "4 tokens" in tab.page.inner_text("#numbers")


def test_calls_of_tools_are_shown_and_answered(tab: Tab) -> None:
    tab.page.fill("#tools", TOOLS)
    tab.ask("tool get_weather")
    calls = tab.page.locator(".call")
    assert calls.count() == 2
    assert calls.nth(0).locator("b").inner_text() == "get_weather"
    assert json.loads(calls.nth(0).locator("pre").inner_text()) == {"city": "Rome"}
    assert json.loads(calls.nth(1).locator("pre").inner_text()) == {"city": "Oslo"}
    calls.nth(0).locator("textarea").fill("sunny")
    calls.nth(1).locator("textarea").fill("it rains")
    tab.page.click("#send")
    tab.page.locator(".assistant").nth(1).wait_for()
    tab.idle()
    _, called, *results = tab.asked()[-1]["messages"]
    assert [one["id"] for one in called["tool_calls"]] == ["call_a", "call_b"]
    assert [json.loads(one["function"]["arguments"]) for one in called["tool_calls"]] == [
        {"city": "Rome"},
        {"city": "Oslo"},
    ]
    assert results == [
        {"role": "tool", "tool_call_id": "call_a", "content": "sunny"},
        {"role": "tool", "tool_call_id": "call_b", "content": "it rains"},
    ]
    assert tab.answer == "it rains"
    tab.page.reload()
    tab.page.locator(".assistant").nth(1).wait_for()
    assert calls.nth(0).locator("textarea").input_value() == "sunny"
    assert calls.nth(0).locator("textarea").get_attribute("readonly") is not None


def test_reasoning_is_folded_away(tab: Tab) -> None:
    assert tab.ask("think") == "so it is"
    thought = tab.page.locator(".thought")
    assert not thought.locator(".prose").is_visible()
    thought.locator("summary").click()
    assert thought.locator(".prose").inner_text().strip() == "hmm"
    tab.ask("next")
    assert tab.asked()[-1]["messages"][1] == {"role": "assistant", "content": "so it is"}


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("refuse QueueFullError", "as asked\nHTTP 429. Try again in 1 s."),
        ("fail OutOfMemoryError", "as asked\nHTTP 503. Try again in 1 s."),
        ("long", "the prompt has 999 tokens\nHTTP 400."),
        ("bug", "internal server error: the server's log says more\nHTTP 500."),
    ],
)
def test_a_refusal_is_shown_and_the_question_kept(tab: Tab, prompt: str, told: str) -> None:
    tab.ask("first")
    tab.send(prompt)
    tab.page.locator("[role=alert]").wait_for()
    assert tab.problem == told
    assert tab.page.input_value("#prompt") == prompt
    assert tab.page.locator(".user").count() == 1
    assert tab.ask("better") == "better"
    assert tab.page.locator("[role=alert]").count() == 0
    assert [one["content"] for one in tab.asked()[-1]["messages"]] == ["first", "first", "better"]


@pytest.mark.parametrize("prompt", ["break", "vanish"])
def test_an_answer_that_breaks_off_says_so(tab: Tab, prompt: str) -> None:
    tab.send(prompt)
    tab.page.locator("[role=alert]").wait_for()
    assert tab.answer == "partial"
    assert "Broken off." in tab.page.inner_text(".assistant .actions")
    tab.ask("go on")
    assert [one["content"] for one in tab.asked()[-1]["messages"]] == [prompt, "partial", "go on"]


def test_the_last_answer_can_be_made_again(tab: Tab) -> None:
    tab.ask("one")
    tab.ask("two")
    tab.page.get_by_role("button", name="Again").click()
    tab.until(lambda: len(tab.asked()) == 3)
    tab.page.locator(".assistant .again").wait_for()
    assert [one["content"] for one in tab.asked()[-1]["messages"]] == ["one", "one", "two"]
    assert tab.page.locator(".assistant").count() == 2


def test_an_answer_that_cannot_be_made_again_stays(tab: Tab) -> None:
    tab.ask("one")
    tab.page.route("**/v1/chat/completions", lambda route: route.abort())
    tab.page.get_by_role("button", name="Again").click()
    tab.page.locator("[role=alert]").wait_for()
    tab.idle()
    assert tab.problem == "The server cannot be reached. Is it still running?"
    assert tab.answer == "one"
    tab.page.unroute("**/v1/chat/completions")
    tab.page.get_by_role("button", name="Again").click()
    tab.until(lambda: len(tab.asked()) == 3)
    tab.page.locator(".assistant .again").wait_for()
    assert tab.asked()[-1]["messages"] == [{"role": "user", "content": "one"}]


def test_a_reload_keeps_what_has_come_of_an_answer(tab: Tab) -> None:
    tab.send("slow 100000")
    tab.page.get_by_text("0 1 2 3").wait_for()
    tab.page.reload()
    tab.page.locator(".assistant", has_text="Broken off.").wait_for()
    assert tab.answer.startswith("0 1 2 3")


def test_a_reload_keeps_a_question_without_an_answer(tab: Tab) -> None:
    tab.ask("one")
    tab.send("hang")
    tab.page.wait_for_selector("#stop:visible")
    tab.page.reload()
    tab.page.locator(".assistant").wait_for()
    assert tab.page.input_value("#prompt") == "hang"
    assert tab.page.locator(".user").count() == 1


def test_timings_of_the_server_are_believed(tab: Tab) -> None:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "timings": {"predicted_per_second": 123.45}},
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}},
    ]
    body = "".join(f"data: {json.dumps({'id': 'x', **chunk})}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    tab.page.route("**/v1/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    assert tab.ask("hello") == "hi"
    told = tab.page.inner_text("#numbers")
    assert told.startswith("123.5 tok/s · 2 tokens · first after ")
    assert told.endswith(" · prompt 9, 0 cached")


def test_a_reload_keeps_the_conversation_until_a_new_chat(tab: Tab) -> None:
    tab.ask("one")
    tab.ask("think")
    tab.page.reload()
    tab.page.locator(".assistant").nth(1).wait_for()
    assert tab.page.locator(".thought").count() == 1
    tab.ask("three")
    assert [one["content"] for one in tab.asked()[-1]["messages"]] == ["one", "one", "think", "so it is", "three"]
    tab.page.click("#clear")
    assert tab.page.is_visible("#nothing")
    tab.page.reload()
    tab.page.wait_for_selector("#nothing:visible")
    assert tab.page.locator(".turn").count() == 0


def test_a_new_chat_ends_the_answer_that_comes(tab: Tab, server: Any) -> None:
    tab.send("slow 100000")
    tab.page.get_by_text("0 1 2 3").wait_for()
    tab.page.click("#clear")
    tab.idle()
    server.wait_until(lambda: len(server.engine.cancelled) == 1)
    assert tab.page.locator(".turn").count() == 0
    tab.ask("new")
    assert tab.asked()[-1]["messages"] == [{"role": "user", "content": "new"}]


def test_what_is_kept_is_bounded(tab: Tab) -> None:
    big = {"role": "assistant", "content": "x" * 300_000}
    kept = [{"role": "user", "content": str(number)} if number % 2 == 0 else big for number in range(10)]
    tab.page.evaluate("kept => localStorage.setItem('shimmy.conversation', JSON.stringify(kept))", kept)
    tab.page.reload()
    tab.page.locator(".assistant").nth(4).wait_for()
    tab.ask("more")
    left = json.loads(tab.page.evaluate("localStorage.getItem('shimmy.conversation')"))
    assert [one["content"][:4] for one in left] == ["4", "xxxx", "6", "xxxx", "8", "xxxx", "more", "more"]


@pytest.mark.parametrize("kept", ["{", "7", '[{"role": "wizard"}]', '[{"role": "user", "content": 5}]', "[null]"])
def test_what_others_wrote_into_storage_is_not_shown(tab: Tab, kept: str) -> None:
    tab.page.evaluate(
        """kept => ["conversation", "settings"].forEach((name) => localStorage.setItem(`shimmy.${name}`, kept))""", kept
    )
    tab.page.reload()
    assert tab.ask("hello") == "hello"
    assert len(tab.asked()[-1]["messages"]) == 1
