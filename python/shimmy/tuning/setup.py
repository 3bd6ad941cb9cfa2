"""What can be tuned: settings on top of the runtime's defaults, in groups that are tried and applied together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Group = Literal["layout", "threads", "poll", "micro-batch", "attention"]

GROUPS: dict[Group, tuple[str, ...]] = {
    "layout": ("use_extra_bufts", "both_layouts"),
    "threads": ("n_threads", "n_threads_batch"),
    "poll": ("poll",),
    "micro-batch": ("n_ubatch",),
    "attention": ("flash_attn", "type_k", "type_v"),
}
"""A user's own setting keeps its whole group out of tuning: flash attention off, say, excludes quantised KV types."""

_OF_MODEL = GROUPS["layout"]

Threads = Annotated[int, Meta(ge=1, le=512)]
KvType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]


class Setup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Fields of `_core.ModelParams` and `_core.ContextParams`; None leaves the runtime's default."""

    use_extra_bufts: bool | None = None
    both_layouts: bool | None = None
    n_threads: Threads | None = None
    n_threads_batch: Threads | None = None
    poll: Annotated[int, Meta(ge=0, le=100)] | None = None
    n_ubatch: Annotated[int, Meta(ge=1, le=65536)] | None = None
    flash_attn: Literal["auto", "on", "off"] | None = None
    type_k: KvType | None = None
    type_v: KvType | None = None

    def model_options(self) -> dict[str, Any]:
        """Those of ModelParams."""
        return self._options(_OF_MODEL)

    def context_options(self) -> dict[str, Any]:
        """Those of ContextParams."""
        return self._options(name for name in self.__struct_fields__ if name not in _OF_MODEL)

    def replaced(self, group: Group, other: Setup) -> Setup:
        """This one, with `group` as `other` has it."""
        return msgspec.structs.replace(self, **{name: getattr(other, name) for name in GROUPS[group]})

    def without(self, given: Iterable[str]) -> Setup:
        """This one, less every group of which a field is in `given`."""
        left = self
        for group in groups_of(given):
            left = left.replaced(group, Setup())
        return left

    def text(self) -> str:
        """For people: "flash_attn off, n_ubatch 256"; "defaults" when nothing is set."""
        words = [f"{name} {_word(value)}" for name, value in {**self.model_options(), **self.context_options()}.items()]
        return ", ".join(words) or "defaults"

    def _options(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def groups_of(names: Iterable[str]) -> list[Group]:
    """The groups that have any of these fields."""
    wanted = set(names)
    return [group for group, fields in GROUPS.items() if wanted.intersection(fields)]


def given_options(model: Mapping[str, Any], context: Mapping[str, Any]) -> set[str]:
    """The fields of a load that its user has set and that could be tuned otherwise."""
    return {name for name in (*model, *context) if groups_of([name])}


def _word(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
