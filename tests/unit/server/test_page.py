"""The web page at /."""

from __future__ import annotations

import re
from typing import Any

import pytest


def test_browsers_get_the_page_and_others_ollamas_line(server: Any) -> None:
    page = server.http.get("/", headers={"accept": "text/html,*/*"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>shimmy</title>" in page.text
    assert server.http.get("/").text == "Ollama is running"


def test_nothing_comes_from_elsewhere(server: Any) -> None:
    page = server.http.get("/", headers={"accept": "text/html"})
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert wanted == ["data:,", "/page/style.css", "/page/chat.js"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "style=" not in page.text


@pytest.mark.parametrize(("path", "kind"), [("/page/style.css", "text/css"), ("/page/chat.js", "text/javascript")])
def test_its_files(server: Any, path: str, kind: str) -> None:
    answer = server.http.get(path)
    assert answer.headers["content-type"].startswith(kind)
    assert "https://" not in answer.text
