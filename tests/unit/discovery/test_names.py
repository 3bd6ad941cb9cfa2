from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.discovery.local_model import count_label
from shimmy.discovery.names import stem_name, unique_names


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Llama_3.2 1B.Q4_K_M.gguf", "llama-3.2-1b.q4-k-m"),
        ("MODEL.GGUF", "model"),
        ("big-00001-of-00003.gguf", "big"),
        ("odd\nname.gguf", "odd-name"),
    ],
)
def test_stem(file: str, name: str) -> None:
    assert stem_name(Path(file)) == name


def test_colliding_names_get_their_folder() -> None:
    paths = ["/m/a/x.gguf", "/m/b/X.gguf", "/m/c/y.gguf"]
    assert list(unique_names(paths).values()) == ["a/x", "b/x", "y"]


def test_further_folders_when_one_is_not_enough() -> None:
    paths = ["/m/one/q4/x.gguf", "/m/two/q4/x.gguf"]
    assert list(unique_names(paths).values()) == ["one/q4/x", "two/q4/x"]


def test_reserved_names_are_left_alone() -> None:
    assert unique_names(["/m/shimmy-mini.gguf"], ["shimmy-mini"]) == {"/m/shimmy-mini.gguf": "m/shimmy-mini"}


def test_names_that_differ_in_case_only() -> None:
    names = unique_names(["/m/A_b.gguf", "/m/a-b.gguf"])
    assert sorted(names.values()) == ["m/a-b", "m/a-b-2"]


PART = st.sampled_from(["a", "A", "b_c", "b c", "x.q4", "x-00001-of-00001"])
PATHS = st.lists(
    st.builds(lambda parts, stem: "/".join(["", *parts, f"{stem}.gguf"]), st.lists(PART, max_size=3), PART)
)


@given(PATHS, st.sets(st.sampled_from(["a", "b-c", "a/a", "x"])))
def test_names_are_unique_and_do_not_depend_on_order(paths: list[str], reserved: set[str]) -> None:
    names = unique_names(paths, reserved)
    assert set(names) == set(paths)
    assert len(set(names.values())) == len(names)
    assert reserved.isdisjoint(names.values())
    assert unique_names(reversed(paths), reserved) == names


@pytest.mark.parametrize(
    ("count", "label"),
    [(0, "0"), (999, "999"), (10_884_352, "10.9M"), (8_030_261_248, "8.0B"), (123_456_789_012, "123B")],
)
def test_parameter_counts(count: int, label: str) -> None:
    assert count_label(count) == label
