"""Stop strings in text that comes in pieces."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from shimmy.stop_search import StopSearch

texts = st.text("ab\né", max_size=12)


def stopped(text: str, stops: list[str]) -> tuple[str, str | None]:
    found = [(text.index(stop) + len(stop), -len(stop), stop) for stop in stops if stop and stop in text]
    if not found:
        return text, None
    end, _, stop = min(found)
    return text[: end - len(stop)], stop


@given(st.lists(texts, max_size=8), st.lists(texts, max_size=3))
@example(["aa", "ab"], ["aab"])
def test_pieces_are_searched_as_one_text(pieces: list[str], stops: list[str]) -> None:
    search = StopSearch(stops)
    expected, stop = stopped("".join(pieces), stops)
    shown, found = "", None
    for piece in pieces:
        text, found = search.push(piece)
        shown += text
        assert expected.startswith(shown)
        if found is not None:
            break
    else:
        shown += search.flush()
    assert (shown, found) == (expected, stop)
