"""The docstrings of a struct's fields, which Python itself throws away."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, TypeAlias

import msgspec

Docs: TypeAlias = dict[str, dict[str, str]]
"""Class name -> field name -> docstring."""


def field_docs(types: Iterable[Any]) -> Docs:
    """Of every struct that `types` hold at any depth, with the fields that it inherits."""
    modules: dict[str, Docs] = {}
    docs: Docs = {}
    for struct in _structs_of(msgspec.inspect.multi_type_info(list(types))):
        own = docs.setdefault(struct.__name__, {})
        for cls in reversed(struct.__mro__):
            if cls.__module__.startswith("shimmy."):
                if cls.__module__ not in modules:
                    modules[cls.__module__] = _docs_in(sys.modules[cls.__module__])
                own |= modules[cls.__module__].get(cls.__name__, {})
    return docs


def _structs_of(infos: Iterable[msgspec.inspect.Type]) -> Iterator[type]:
    seen: set[type] = set()
    waiting: list[Any] = list(infos)
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in seen:
                continue
            seen.add(info.cls)
            yield info.cls
        if isinstance(info, tuple):
            waiting += info
        elif isinstance(info, (msgspec.inspect.Type, msgspec.inspect.Field)):
            waiting += [getattr(info, name) for name in info.__struct_fields__]


def _docs_in(module: ModuleType) -> Docs:
    try:
        tree = ast.parse(inspect.getsource(module))
    except OSError:
        return {}  # a build without sources
    return {node.name: dict(_docs_of(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _docs_of(struct: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for node, after in zip(struct.body, struct.body[1:], strict=False):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr)):
            continue
        if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            yield node.target.id, inspect.cleandoc(after.value.value)
