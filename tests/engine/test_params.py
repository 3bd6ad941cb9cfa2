"""The classes of options: keyword arguments with the structs' defaults, checked by name and type."""

from __future__ import annotations

import pytest

from shimmy._core import ContextParams, EngineParams, ModelParams, SamplingParams
from shimmy.errors import InvalidRequestError, ShimmyError

CLASSES = [ModelParams, ContextParams, SamplingParams, EngineParams]
BAD = {
    bool: [1, 0, "yes", None, 1.0, []],
    int: ["1", 1.5, None, True, [1], 2**70, -(2**70)],
    float: ["1", None, True, [1.0]],
    str: [1, None, ["auto"], True],
    list: [1, "auto", None, {1: 2}, [None], [object()]],
    dict: [1, "x", None, [1], {"a": 1.0}, {1: "b"}, {2**40: 1.0}],
    type(None): ["1", 1.5, True, -1, 2**32, [1]],
}


def fields(cls: type) -> dict[str, object]:
    return {name: getattr(cls(), name) for name in vars(cls) if not name.startswith("_")}


@pytest.mark.parametrize("cls", CLASSES)
def test_repr_shows_every_field_and_is_the_call_that_makes_it(cls: type) -> None:
    text = repr(cls())
    assert eval(text, {cls.__name__: cls, "inf": float("inf")}) is not None
    for name, value in fields(cls).items():
        assert f"{name}={value!r}" in text
        assert f"{name}: " in (cls.__init__.__doc__ or "")
        assert getattr(cls, name).__doc__, f"{name} says what it means"


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_is_a_keyword_and_keeps_its_value(cls: type) -> None:
    for name, default in fields(cls).items():
        value: object = default
        if isinstance(default, bool):
            value = not default
        elif isinstance(default, (int, float)):
            value = default + 3
        elif isinstance(default, str):
            value = default + "x"
        elif isinstance(default, dict):
            value = {3: 0.5}
        elif default is None:
            value = 2**32 - 1
        made = cls(**{name: value})
        assert getattr(made, name) == value
        assert {**fields(cls), name: value} == {field: getattr(made, field) for field in fields(cls)}


@pytest.mark.parametrize("cls", CLASSES)
def test_values_of_the_wrong_type_name_their_field(cls: type) -> None:
    for name, default in fields(cls).items():
        for value in BAD[type(default)]:
            with pytest.raises(InvalidRequestError, match=f"^{name} is .*must be of type") as caught:
                cls(**{name: value})
            assert caught.value.param == name


@pytest.mark.parametrize("cls", CLASSES)
def test_unknown_names_are_refused(cls: type) -> None:
    with pytest.raises(InvalidRequestError, match=f"{cls.__name__} has no option 'n_ctxx'") as caught:
        cls(n_ctxx=1)
    assert caught.value.param == "n_ctxx"
    with pytest.raises(TypeError):
        cls(1)


def test_negative_numbers_are_no_sizes() -> None:
    with pytest.raises(InvalidRequestError, match="n_ctx is -1"):
        ContextParams(n_ctx=-1)
    with pytest.raises(InvalidRequestError, match="seed is -1"):
        SamplingParams(seed=-1)


@pytest.mark.parametrize("value", ["é" * 200, "🦊" * 50, "\ud800", "a\0b", "\xff"])
def test_any_value_can_be_shown(value: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ContextParams(n_ctx=value)
    str(caught.value).encode()
    assert isinstance(caught.value, ShimmyError)
    assert isinstance(caught.value, ValueError)


def test_fields_can_be_set_one_by_one() -> None:
    params = SamplingParams()
    params.top_k = 5
    params.logit_bias = {1: -1.0}
    assert (params.top_k, params.logit_bias) == (5, {1: -1.0})
    with pytest.raises(TypeError):
        params.top_k = "5"  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        params.top_kk = 5  # type: ignore[attr-defined]
    assert SamplingParams().top_k == 0


def test_integers_are_numbers_for_floats() -> None:
    assert SamplingParams(temperature=1, logit_bias={5: -100}).logit_bias == {5: -100.0}
