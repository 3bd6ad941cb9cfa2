from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.tuning.axes import axes
from shimmy.tuning.search import Axis
from shimmy.tuning.setup import GROUPS, Setup, given_options, groups_of

FULL = Setup(
    use_extra_bufts=False,
    both_layouts=False,
    n_threads=3,
    n_threads_batch=4,
    poll=0,
    n_ubatch=256,
    flash_attn="off",
    type_k="f32",
    type_v="f32",
)
FIELDS = Setup.__struct_fields__


def test_every_field_is_in_one_group() -> None:
    assert sorted(field for fields in GROUPS.values() for field in fields) == sorted(FIELDS)


def test_options_are_those_of_the_runtime() -> None:
    assert FULL.model_options() == {"use_extra_bufts": False, "both_layouts": False}
    assert FULL.context_options() == {
        "n_threads": 3, "n_threads_batch": 4, "poll": 0, "n_ubatch": 256, "flash_attn": "off", "type_k": "f32",
        "type_v": "f32",
    }  # fmt: skip
    assert Setup().model_options() == Setup().context_options() == {}
    assert (FULL.replaced("poll", Setup()).poll, Setup().text()) == (None, "defaults")
    assert Setup(use_extra_bufts=False, n_ubatch=256).text() == "use_extra_bufts off, n_ubatch 256"


@given(st.sets(st.sampled_from([*FIELDS, "n_ctx", "n_gpu_layers"])))
def test_what_a_user_sets_takes_its_group_along_and_nothing_else(names: set[str]) -> None:
    left = FULL.without(names)
    for fields in GROUPS.values():
        touched = bool(names.intersection(fields))
        assert all((getattr(left, field) is None) == touched for field in fields)


def test_given_options() -> None:
    assert given_options({"n_gpu_layers": 0, "both_layouts": True}, {"n_ctx": 512, "poll": 0}) == {
        "both_layouts",
        "poll",
    }
    assert groups_of(["type_v", "n_threads"]) == ["threads", "attention"]


@pytest.mark.parametrize(
    "values", [{"n_threads": 0}, {"poll": 101}, {"type_k": "i8"}, {"flash_attn": 1}, {"rm": "-rf"}, {"n_ubatch": 2.5}]
)
def test_stored_values_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(values), type=Setup)


def test_it_is_stored_as_little_as_it_says() -> None:
    assert msgspec.json.encode(Setup(flash_attn="off")) == b'{"flash_attn":"off"}'
    assert msgspec.json.decode(msgspec.json.encode(FULL), type=Setup) == FULL


def found(**facts: Any) -> dict[str, Axis]:
    usual = {"n_threads": 2, "n_cpus": 2, "on_cpu": True, "on_gpu": False, "two_layouts": True, "long_prompt": 512}
    return {axis.group: axis for axis in axes(**{**usual, **facts})}


class TestAxes:
    def test_of_a_small_machine(self) -> None:
        tried = found()
        assert list(tried) == ["attention", "threads", "layout", "poll", "micro-batch"]
        assert tried["threads"].alternatives == {"1, prompts 2": Setup(n_threads=1, n_threads_batch=2)}
        assert list(tried["layout"].alternatives) == ["as in the file", "repacked only"]
        assert list(tried["attention"].alternatives) == ["flash attention off"]
        assert tried["threads"].needs_quiet and tried["poll"].needs_quiet

    def test_cores_with_two_threads(self) -> None:
        assert [setup.n_threads for setup in found(n_threads=8, n_cpus=16)["threads"].alternatives.values()] == [
            16, 8, 6, 4, 2
        ]  # fmt: skip

    def test_one_core_has_no_threads_to_choose(self) -> None:
        assert "threads" not in found(n_threads=1, n_cpus=1)

    def test_layouts_are_the_cpus(self) -> None:
        assert "layout" not in found(on_cpu=False)
        assert list(found(two_layouts=False)["layout"].alternatives) == ["as in the file"]

    def test_other_kv_types_only_when_asked_for(self) -> None:
        tried = found(kv_types=["f16", "q8_0", "q8_0"])["attention"].alternatives
        assert list(tried) == ["flash attention off", "KV cache in q8_0"]
        assert tried["KV cache in q8_0"] == Setup(type_k="q8_0", type_v="q8_0")

    def test_micro_batches_need_prompts_of_two(self) -> None:
        assert "micro-batch" not in found(long_prompt=0)
        assert list(found(long_prompt=256)["micro-batch"].alternatives) == ["128 tokens"]

    def test_gpus_are_given_larger_micro_batches(self) -> None:
        tried = found(on_cpu=False, on_gpu=True, long_prompt=2048)["micro-batch"].alternatives
        assert tried == {"2048 tokens": Setup(n_ubatch=2048), "1024 tokens": Setup(n_ubatch=1024)}
        assert list(found(on_cpu=False, on_gpu=True, long_prompt=1536)["micro-batch"].alternatives) == ["1024 tokens"]
        assert "micro-batch" not in found(on_cpu=False, on_gpu=True, long_prompt=512)
        partly = found(on_cpu=False, on_gpu=False, long_prompt=512)["micro-batch"].alternatives
        assert list(partly) == ["256 tokens", "128 tokens"]

    @given(st.sets(st.sampled_from(FIELDS)))
    def test_what_a_user_has_set_is_not_tried(self, given: set[str]) -> None:
        assert not groups_of(given) or set(found(given=given)) == set(found()) - set(groups_of(given))
