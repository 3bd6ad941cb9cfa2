"""The page to chat on, in Chromium, with real servers and real models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from chromium import PHONE, Tab
from endless import ENDLESS
from playwright.sync_api import Route

from shimmy.demo_model import demo_model_path

Start = Callable[..., AbstractContextManager[Any]]

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


@pytest.fixture
def open_tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    """Opens a page, and fails for errors on it."""
    tabs: list[Tab] = []

    def open_one(url: str, **options: Any) -> Tab:
        tabs.append(Tab(browser, url, **options).open())
        return tabs[-1]

    yield open_one
    for tab in tabs:
        tab.close()


def without_end(route: Route) -> None:
    """A request for an answer that the model does not end."""
    body = route.request.post_data_json
    route.continue_(post_data=json.dumps({**body, **ENDLESS}))


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_an_answer_and_what_it_cost(server: Any, open_tab: Callable[..., Tab], options: Any) -> None:
    tab = open_tab(server.url, **options)
    tab.page.evaluate("document.getElementById('temperature').value = '0'")
    assert tab.ask(QUESTION) == ANSWER
    told = tab.page.inner_text("#numbers")
    assert " tokens · first after " in told
    assert tab.ask("Who are you?").startswith("I am Shimmy Mini")
    cached = int(tab.page.inner_text("#numbers").rpartition(", ")[2].removesuffix(" cached"))
    assert cached > 10  # the first turn


def test_an_answer_is_stopped_and_its_tokens_counted(server: Any, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(server.url)
    tab.page.route("**/v1/chat/completions", without_end)
    tab.send("Tell me a story.")
    tab.page.locator("#numbers", has_text="tok/s").wait_for()
    tab.page.press("body", "Escape")
    tab.idle()
    assert len(tab.answer) > 20
    assert "tok/s" in tab.page.inner_text("#numbers")
    tab.page.unroute("**/v1/chat/completions")
    tab.ask(QUESTION)
    assert len(tab.asked()[-1]["messages"]) == 3


def test_a_prompt_that_does_not_fit(start: Start, open_tab: Callable[..., Tab]) -> None:
    with start("--ctx", "256") as server:
        tab = open_tab(server.url)
        tab.send("word " * 400)
        tab.page.locator("[role=alert]").wait_for()
        assert "256" in tab.problem
        assert "HTTP 400." in tab.problem
        assert tab.page.input_value("#prompt").startswith("word word")
        tab.page.select_option("#context_policy", "truncate_middle")
        tab.page.fill("#max_tokens", "5")
        tab.page.click("#send")
        tab.page.locator(".assistant").wait_for()
        tab.idle()


def test_too_many_requests(home: Path, start_in: Start, open_tab: Callable[..., Tab]) -> None:
    with start_in(home, environment={"SHIMMY_REQUESTS_PER_MINUTE": "1"}) as server:
        tab = open_tab(server.url)
        tab.ask(QUESTION)
        tab.send("And of Italy?")
        tab.page.locator("[role=alert]").wait_for()
        assert "HTTP 429. Try again in " in tab.problem
        assert tab.page.input_value("#prompt") == "And of Italy?"


def test_a_server_that_is_gone(start: Start, open_tab: Callable[..., Tab]) -> None:
    with start() as server:
        tab = open_tab(server.url)
        tab.page.route("**/v1/chat/completions", without_end)
        tab.send("Tell me a story.")
        tab.page.locator("#numbers", has_text="tok/s").wait_for()
        server.process.kill()
        tab.page.locator("[role=alert]").wait_for()
        assert tab.problem == "The connection to the server was lost before the answer was complete."
        assert len(tab.answer) > 20
        assert "Broken off." in tab.page.inner_text(".assistant .actions")
        tab.send("Are you there?")
        tab.page.get_by_text("The server cannot be reached.").wait_for()
        assert tab.page.input_value("#prompt") == "Are you there?"


def test_a_key_is_asked_for_and_kept_in_the_tab(guarded: Any, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(guarded.url)
    dialog = tab.page.get_by_role("dialog", name="API key")
    dialog.wait_for()
    tab.page.keyboard.type("a-wrong-key")
    tab.page.keyboard.press("Enter")
    dialog.get_by_text("the API key is not known here").wait_for()
    tab.page.fill("#key", guarded.key)
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#load:not(:disabled)")
    assert ANSWER[:10] in tab.ask(QUESTION)
    tab.page.reload()
    tab.page.wait_for_selector("#load:not(:disabled)")
    assert not dialog.is_visible()
    assert guarded.key not in tab.page.evaluate("JSON.stringify(localStorage)")
    other = open_tab(guarded.url)
    other.page.get_by_role("dialog", name="API key").wait_for()
    other.page.keyboard.press("Escape")
    assert other.page.evaluate("document.activeElement.id") == "prompt"


def test_two_models_of_a_folder(tmp_path: Path, start_in: Start, open_tab: Callable[..., Tab]) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("first", "second"):
        shutil.copy(demo_model_path(), folder / f"{name}.gguf")
    with start_in(tmp_path, environment={"SHIMMY_MODEL_PATHS": str(folder)}) as server:
        tab = open_tab(server.url)
        tab.page.wait_for_selector("#load:not(:disabled)")
        names = tab.page.eval_on_selector_all("#model option", "(all) => all.map((one) => one.value)")
        assert {"first", "second"} <= set(names)
        for name in ("first", "second"):
            tab.page.select_option("#model", name)
            tab.page.get_by_role("button", name="Load", exact=True).click()
            tab.page.get_by_role("button", name="Unload").wait_for()
            tab.ask(QUESTION)
            assert tab.asked()[-1]["model"] == name
        tab.page.select_option("#model", "first")
        tab.page.get_by_role("button", name="Unload").click()
        tab.page.get_by_role("button", name="Load", exact=True).wait_for()
        tab.ask("And of Italy?")  # loads it again
        assert tab.page.locator('optgroup[label="Loaded"] option[value="first"]').count() == 1
        assert [turn.split("\n")[0] for turn in tab.page.locator(".assistant .actions").all_inner_texts()] == [
            *("first", "second", "first")
        ]
