"""The web pages: / and /docs."""

from __future__ import annotations

import re
from typing import Any

import pytest

FILES = [
    ("/page/style.css", "text/css"),
    ("/page/chat.js", "text/javascript"),
    ("/page/docs.css", "text/css"),
    ("/page/docs.js", "text/javascript"),
]


def test_browsers_get_the_page_and_others_ollamas_line(server: Any) -> None:
    page = server.http.get("/", headers={"accept": "text/html,*/*"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>shimmy</title>" in page.text
    assert server.http.get("/").text == "Ollama is running"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_nothing_comes_from_elsewhere(server: Any, path: str) -> None:
    page = server.http.get(path, headers={"accept": "text/html"})
    wanted = set(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    assert {"data:,", "/page/style.css"} <= wanted
    for name in wanted - {"data:,"}:
        assert server.http.get(name).status_code == 200, name
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "style=" not in page.text


@pytest.mark.parametrize(("path", "kind"), FILES)
def test_its_files(server: Any, path: str, kind: str) -> None:
    answer = server.http.get(path)
    assert answer.headers["content-type"].startswith(kind)
    assert "https://" not in answer.text
