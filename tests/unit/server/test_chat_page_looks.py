"""How the page to chat on looks and feels: phones, keyboards, contrast, long answers, hostile text. In Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from chromium import DESKTOP, PHONE, Tab

OpenTab = Callable[..., Tab]

TOOLS = '[{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]'
MARKUP = """# Title

A **bold**, *slanted*, ~~struck~~ and `quoted` word: https://example.org/a.

1. one
2. two
   goes on

- three
  - four

```python
x = "<b>"  # `not` **this**
```

| a | b |
|---|---|
| 1 | 2 |

> said

---
end"""
HOSTILE = """<img src=x onerror="document.title='owned'"> <script>document.title='owned'</script>
**<b onmouseover=1>bold</b>** `<i>` [click](javascript:document.title='owned') [see](https://example.org/"onclick=1)
```"><script>document.title='owned'</script>
</pre><script>document.title='owned'</script>
```
| <u>a</u> |
|---|
# <h1>title</h1>"""

# Text that is not dense enough against what is behind it, as WCAG's level AA asks.
FAINT = """() => {
  const channels = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], back) => [r, g, b].map((one, k) => one * a + back[k] * (1 - a));
  const light = (rgb) => rgb.map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, k) => sum + one * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      layers.unshift(channels(getComputedStyle(one).backgroundColor));
    }
    return layers.reduce((back, layer) => over(layer, back), [255, 255, 255]);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const places = element.matches("input, textarea") && element.placeholder && !element.value;
    if (!(own || places) || element.disabled || !element.checkVisibility()) continue;
    const style = getComputedStyle(element, places ? "::placeholder" : null);
    const back = behind(element);
    const [a, b] = [light(over(channels(style.color), back)), light(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    const ratio = (a + 0.05) / (b + 0.05);
    const name = `${element.tagName} ${element.className} ${element.textContent.slice(0, 20)}`;
    if (ratio < least) found.push(`${name}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""


@pytest.fixture
def tab(open_tab: OpenTab) -> Tab:
    return open_tab()


def show_everything(tab: Tab) -> None:
    """Each kind of turn, and an error."""
    tab.page.evaluate("tools => { document.getElementById('tools').value = tools; }", TOOLS)
    tab.ask(MARKUP)
    tab.ask("think")
    tab.page.click(".thought summary")
    tab.ask("tool get_weather")
    tab.send("refuse QueueFullError")
    tab.page.locator("[role=alert]").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_text_stands_out(open_tab: OpenTab, scheme: str, size: str) -> None:
    tab = open_tab(color_scheme=scheme, **(PHONE if size == "phone" else {"viewport": DESKTOP}))
    back = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, back[4:-1].split(","))) < 200) == (scheme == "dark")
    assert tab.page.evaluate(FAINT) == []
    show_everything(tab)
    assert tab.page.evaluate(FAINT) == []
    if size == "phone":
        tab.page.click("#open-settings")
        assert tab.page.evaluate(FAINT) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_about_the_api_stands_out(open_tab: OpenTab, scheme: str) -> None:
    tab = open_tab("/docs", color_scheme=scheme, **PHONE)
    tab.page.get_by_role("link", name="POST /v1/responses", exact=True).click()
    tab.page.get_by_role("button", name="Send").wait_for()
    assert tab.page.evaluate(FAINT) == []
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_phone_scrolls_down_only(open_tab: OpenTab, width: int) -> None:
    tab = open_tab(**{**PHONE, "viewport": {"width": width, "height": 780}})
    show_everything(tab)
    tab.send("https://" + "x" * 500)
    tab.idle()
    wide = """() => [document.documentElement.scrollWidth, document.getElementById("talk").scrollWidth]"""
    assert max(tab.page.evaluate(wide)) <= width
    for name in ("model", "load", "clear", "open-settings", "prompt", "send"):
        box = tab.page.locator(f"#{name}").bounding_box()
        assert box is not None, name
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= width, name
        assert box["y"] + box["height"] <= 780, name
    for name in ("model", "load", "clear", "open-settings", "send"):
        assert (tab.page.locator(f"#{name}").bounding_box() or {})["height"] >= 36, name


def test_a_phone_has_settings_on_a_sheet_of_their_own(open_tab: OpenTab) -> None:
    tab = open_tab(**PHONE)
    assert not tab.page.is_visible("#settings")
    tab.page.tap("#open-settings")
    assert tab.page.evaluate("document.activeElement.id") == "close-settings"
    tab.page.fill("#temperature", "0.5")
    tab.page.tap("#close-settings")
    assert not tab.page.is_visible("#settings")
    tab.page.fill("#prompt", "one")
    tab.page.press("#prompt", "Enter")  # there is no Shift on a phone
    assert tab.page.input_value("#prompt") == "one\n"
    tab.page.tap("#send")
    tab.page.locator(".assistant").wait_for()
    assert tab.asked()[0]["temperature"] == 0.5
    tab.page.tap("#open-settings")
    tab.page.keyboard.press("Escape")
    assert not tab.page.is_visible("#settings")
    assert tab.page.evaluate("document.activeElement.id") == "open-settings"


def test_everything_is_reached_by_keyboard(tab: Tab) -> None:
    tab.page.wait_for_selector("#load:not(:disabled)")
    assert tab.page.evaluate("document.activeElement.id") == "prompt"
    tab.page.evaluate("document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus()")
    reached = []
    for _ in range(30):
        tab.page.keyboard.press("Tab")
        told = tab.page.evaluate(
            """() => {
              const one = document.activeElement;
              const ring = one.id === "prompt" ? one.closest("form") : one;
              const name = one.id || one.getAttribute("href") || one.type;
              return [name, getComputedStyle(ring).outlineStyle, one.checkVisibility()];
            }"""
        )
        if told[0] in (None, *reached):  # around
            break
        assert told[1:] == ["solid", True], told
        reached.append(told[0])
    settings = ["temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed", "max_tokens", "reasoning_effort"]
    assert reached == [
        *["model", "load", "clear", "open-settings", "talk", "prompt", "send"],
        *[*settings, "context_policy", "system", "tools", "schema", "reset", "open-key", "/docs"],
    ]


def test_a_screen_reader_hears_names_and_whole_answers(tab: Tab) -> None:
    show_everything(tab)
    told = tab.page.locator("body").aria_snapshot()
    for line in (
        'combobox "Model"',
        'log "Conversation"',
        'textbox "Message"',
        'article "Answer"',
        'article "You"',
        'region "Tool call"',
        'complementary "Settings"',
        'spinbutton "Temperature"',
        'textbox "System prompt"',
        "alert",
    ):
        assert line in told, line
    assert tab.page.get_attribute("#said", "role") == "status"
    tab.ask("count 3")
    assert tab.page.inner_text("#said") == "0 1 2"
    assert tab.page.get_attribute("#talk", "aria-live") == "off"


def test_a_little_markdown(tab: Tab) -> None:
    tab.ask(MARKUP)
    kinds = tab.page.evaluate("[...document.querySelector('.assistant > .prose').children].map((one) => one.tagName)")
    assert kinds == ["H3", "P", "OL", "UL", "FIGURE", "DIV", "BLOCKQUOTE", "HR", "P"]
    prose = tab.page.locator(".assistant > .prose")
    assert [prose.locator(name).inner_text() for name in ("strong", "em", "s", "p > code")] == [
        *("bold", "slanted", "struck", "quoted")
    ]
    assert prose.locator("a").get_attribute("href") == "https://example.org/a"
    assert prose.locator("a").get_attribute("rel") == "noopener noreferrer"
    assert prose.locator("ol li").all_inner_texts() == ["one", "two\ngoes on"]
    assert prose.locator("pre").text_content() == 'x = "<b>"  # `not` **this**\n'
    assert prose.locator("th, td").all_inner_texts() == ["a", "b", "1", "2"]


def test_code_and_lists_within_lists(tab: Tab) -> None:
    tab.ask("1. first\n    ```sh\n    ls *.py\n      # done\n    ```\n2. second\n   - inner\n3. third")
    prose = tab.page.locator(".assistant > .prose")
    assert prose.locator("pre").text_content() == "ls *.py\n  # done\n"
    assert prose.locator("figcaption span").inner_text() == "sh"
    assert prose.locator("ol li").evaluate_all("(all) => all.map((one) => one.value)") == [1, 2, 3]
    assert prose.locator("ul li").get_attribute("class") == "deep1"


def test_pieces_make_what_the_whole_makes(tab: Tab) -> None:
    """However the text comes in parts, what is shown at the end is the same."""
    same = """async (text) => {
      const { Prose } = await import("/page/prose.js");
      const shown = (parts, code) => {
        const place = document.createElement("div");
        const prose = new Prose(place, { code });
        parts.forEach((part) => prose.add(part));
        prose.end();
        place.normalize();
        return place.innerHTML;
      };
      const cut = (size) => text.match(new RegExp(`[^]{1,${size}}`, "g"));
      const same = (size, code) => shown(cut(size), code) === shown([text], code);
      return [false, true].flatMap((code) => [1, 2, 3, 7, 50].map((size) => same(size, code)));
    }"""
    long_line = "word " * 1500 + "x" * 5000
    for text in (
        MARKUP,
        HOSTILE,
        "```\n``\n" + MARKUP,
        long_line,
        "1. x\n   ```\n     y\n  z\n\n   ```\n- a\n\n- b\n\n1) c\n   d\n> e\n> f\n|x|\n~~~\n```\n~~~",
    ):
        assert tab.page.evaluate(same, text) == [True] * 10, text[:40]


def test_text_never_becomes_markup(tab: Tab) -> None:
    tab.ask(HOSTILE)
    tab.page.fill("#tools", TOOLS)
    tab.ask("tool <img/src=x/onerror=document.title='owned'>")
    tab.page.reload()
    tab.page.locator(".call").nth(1).wait_for()
    assert tab.page.title() == "shimmy"
    assert tab.page.locator("#turns :is(img, script, u, i, b b, h1, [onerror], [onclick], [onmouseover])").count() == 0
    assert tab.page.locator(".call b").first.inner_text() == "<img/src=x/onerror=document.title='owned'>"
    hrefs = tab.page.evaluate("[...document.querySelectorAll('#turns a')].map((one) => one.protocol)")
    assert set(hrefs) <= {"https:"}
    assert "<script>document.title='owned'</script>" in tab.page.locator(".user p").first.inner_text()


def test_hostile_names_of_models_are_text(browser: Any, start_server: Callable[..., Any]) -> None:
    from fake_registry import FakeEntry

    name = "<img src=x onerror=alert(1)>" + "n" * 200
    with start_server(entries=(FakeEntry(name, "m.gguf"),)) as server:
        tab = Tab(browser, server.url, **PHONE).open()
        tab.page.locator("#greeting", has_text="<img").wait_for()
        assert tab.page.locator("img").count() == 0
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
        tab.close()


def test_no_model_is_told(browser: Any, start_server: Callable[..., Any]) -> None:
    with start_server(entries=()) as server:
        tab = Tab(browser, server.url).open()
        tab.page.get_by_text("There is no model yet.").wait_for()
        assert tab.page.is_disabled("#load")
        tab.send("hello")
        tab.page.locator("[role=alert]").wait_for()
        assert tab.problem == "There is no model to ask."
        assert tab.page.input_value("#prompt") == "hello"
        tab.close()


WATCH = """() => {
  window.most = 0;
  new MutationObserver((records) => {
    for (const { target } of records) {
      const block = target.nodeType === 3 ? target.parentElement : target;
      if (block.closest(".prose") && !block.matches(".prose, pre")) most = Math.max(most, block.textContent.length);
    }
  }).observe(document.getElementById("turns"), { subtree: true, childList: true, characterData: true });
}"""


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_piece_of_a_long_answer_changes_little(tab: Tab, kind: str) -> None:
    """In a conversation of a thousand messages too: what a token touches has a largest size."""
    one = {"user": "What is that?", "assistant": "It is **this**:\n\n```\ncode\n```\n" * 5}
    kept = [{"role": ("user", "assistant")[k % 2], "content": one[("user", "assistant")[k % 2]]} for k in range(1000)]
    tab.page.evaluate("kept => localStorage.setItem('shimmy.conversation', JSON.stringify(kept))", kept)
    tab.page.reload()
    tab.page.locator(".turn").nth(999).wait_for()
    if kind == "json":
        tab.page.fill("#schema", "{}")
    tab.page.evaluate(WATCH)
    tab.ask("count 20000")
    told = tab.page.locator(".assistant > .prose").last.locator("pre" if kind == "json" else "xpath=.").inner_text()
    assert len(told) > 100_000
    assert told.split() == [str(number) for number in range(20000)]
    assert 0 < tab.page.evaluate("most") <= (6500 if kind == "text" else 22_100)


def test_reading_above_is_not_disturbed(tab: Tab) -> None:
    tab.ask("count 3000")
    at = "document.getElementById('talk').scrollTop"
    end = (
        "(() => { const t = document.getElementById('talk'); return t.scrollHeight - t.clientHeight - t.scrollTop; })()"
    )
    assert tab.page.evaluate(end) < 2
    tab.send("slow 100000")
    tab.page.locator(".assistant").nth(1).wait_for()
    assert tab.page.evaluate(end) < 2
    tab.page.evaluate("document.getElementById('talk').scrollTop = 100")
    tab.page.wait_for_selector("#latest:visible")
    length = len(tab.answer)
    tab.until(lambda: len(tab.answer) > length + 100)
    assert tab.page.evaluate(at) == 100
    tab.page.click("#latest")
    assert tab.page.evaluate(end) < 2
    assert not tab.page.is_visible("#latest")
    tab.page.press("body", "Escape")
    tab.idle()


def test_the_page_about_the_api_needs_nothing_from_elsewhere(open_tab: OpenTab) -> None:
    tab = open_tab("/docs")
    tab.page.get_by_role("link", name="POST /v1/chat/completions").click()
    tab.page.get_by_role("heading", name="Answer a conversation").wait_for()
    body = tab.page.locator("#operation textarea")
    body.fill(json.dumps({"model": "m", "messages": [{"role": "user", "content": "count 3"}]}))
    tab.page.get_by_role("button", name="Send").click()
    tab.page.locator("pre", has_text='"content": "0 1 2 "').wait_for()
    tab.page.locator("[role=status]", has_text="200 OK").wait_for()
