"""A real browser for tests of pages: the Chromium of this machine, driven by playwright, which downloads nothing."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome")
WAIT_MS = 20_000
DESKTOP = {"width": 1280, "height": 800}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 780},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips the test when there is none, or fails it where SHIMMY_TEST_ALL_CLIENTS asks for all clients."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    reason = None if found else f"there is no browser: {', '.join(NAMES)}"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        reason = "playwright is not installed"
    if reason is not None:
        if os.environ.get("SHIMMY_TEST_ALL_CLIENTS", "") not in ("", "0"):
            pytest.fail(f"SHIMMY_TEST_ALL_CLIENTS is set, but {reason}", pytrace=False)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--disable-gpu"])
        yield browser
        browser.close()


class Tab:
    """A page of its own profile that writes down what must never happen: errors, and requests to elsewhere."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(**{"viewport": DESKTOP, **options})
        self.context.set_default_timeout(WAIT_MS)
        self.errors: list[str] = []
        self.requests: list[Request] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.context.on("request", lambda request: self.requests.append(request))

    def _note(self, message: ConsoleMessage) -> None:
        refused = message.text.startswith("Failed to load resource")  # Chromium's own line for a status that is no 2xx
        if message.type in ("error", "warning") and not refused:
            self.errors.append(message.text)

    def open(self, path: str = "/") -> Tab:
        self.page.goto(self.url + path)
        return self

    def send(self, text: str) -> None:
        """Asks, without waiting for the answer."""
        self.page.fill("#prompt", text)
        self.page.click("#send")

    def ask(self, text: str) -> str:
        """The text of the answer, when it is complete."""
        before = self.page.locator(".assistant").count()
        self.send(text)
        self.page.locator(".assistant").nth(before).wait_for()
        self.idle()
        return self.answer

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_MS / 1000
        while not condition():
            assert time.monotonic() < end, "the condition did not come true"
            self.page.wait_for_timeout(20)

    def idle(self) -> None:
        self.page.wait_for_selector("#send:visible")

    @property
    def answer(self) -> str:
        """The newest one so far."""
        return self.page.locator(".assistant > .prose").last.inner_text()

    @property
    def problem(self) -> str:
        return "\n".join(self.page.locator("[role=alert] p").all_text_contents())

    def asked(self) -> list[Any]:
        """The bodies of the chat requests that were sent."""
        return [one.post_data_json for one in self.requests if one.url.endswith("/v1/chat/completions")]

    def close(self) -> None:
        """Fails when something of that has happened."""
        self.context.close()
        assert not self.errors, self.errors
        elsewhere = [one.url for one in self.requests if not one.url.startswith((self.url, "data:"))]
        assert not elsewhere, elsewhere
