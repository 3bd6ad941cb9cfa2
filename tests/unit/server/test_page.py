"""The web pages: / and /docs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from shimmy.server import page

FOLDER = Path(page.__file__).parent
FILES = sorted(file.name for file in FOLDER.iterdir() if file.suffix in (".js", ".css"))
TYPES = {".js": "text/javascript", ".css": "text/css"}


def test_browsers_get_the_page_and_others_ollamas_line(server: Any) -> None:
    page = server.http.get("/", headers={"accept": "text/html,*/*"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>shimmy</title>" in page.text
    assert server.http.get("/").text == "Ollama is running"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_nothing_comes_from_elsewhere(server: Any, path: str) -> None:
    page = server.http.get(path, headers={"accept": "text/html"})
    wanted = set(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    assert "/page/style.css" in wanted
    for name in wanted:
        assert name.startswith("data:") or server.http.get(name).status_code == 200, name
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "style=" not in page.text


@pytest.mark.parametrize("name", FILES)
def test_its_files(server: Any, name: str) -> None:
    answer = server.http.get(f"/page/{name}")
    assert answer.headers["content-type"] == f"{TYPES[Path(name).suffix]}; charset=utf-8"
    assert answer.text == (FOLDER / name).read_text()
    assert "https://" not in answer.text
    for imported in re.findall(r'from "\./([^"]+)"', answer.text):
        assert imported in FILES


@pytest.mark.parametrize("name", ["index.html", "__init__.py", "other.js", "..%2Fapp.py"])
def test_nothing_else_is_a_file_of_the_pages(server: Any, name: str) -> None:
    answer = server.http.get(f"/page/{name}")
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_scripts_never_make_markup_of_text() -> None:
    for name in FILES:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", (FOLDER / name).read_text()
        )
