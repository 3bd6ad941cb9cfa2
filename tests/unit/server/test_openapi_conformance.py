"""schemathesis asks every route for what the OpenAPI document says that it takes, and for what it says it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fake_registry import FakeRegistry
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode, checks
from tiny_gguf import write_model

from shimmy.discovery.walk import Root
from shimmy.library.library import Library
from shimmy.models.adapter_names import MAX_NAME
from shimmy.models.manager import ModelManager
from shimmy.models.registry import Registry
from shimmy.server.app import create_app
from shimmy.server.openapi import described
from shimmy.server.operation import JSON, Operation
from shimmy.settings import Settings

MODEL = "m"
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
ELSEWHERE = {("/api/pull", "POST"): "it asks other machines"}


def operations() -> list[Any]:
    """Every handler once: some have several paths."""

    async def never(*_: Any) -> Any:
        raise AssertionError("no model is asked for")

    app = create_app(ModelManager(FakeRegistry(), never), Settings(bind="127.0.0.1:0"))  # type: ignore[arg-type]
    found: dict[tuple[Operation, str], str] = {}
    for one in described(app.routes):
        if (one.plain_path, one.method) not in ELSEWHERE:
            found.setdefault((one.operation, one.method), one.plain_path)
    return [
        pytest.param(path, method, can_be_wrong(operation), id=f"{method} {path}")
        for (operation, method), path in found.items()
    ]


def can_be_wrong(operation: Operation) -> bool:
    return operation.query is not None or (operation.body is not None and operation.takes == JSON)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, start_server: Any) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("served")
    write_model(folder / "models" / f"{MODEL}.gguf")
    options = Settings(bind="127.0.0.1:0", data_dir=folder / "data")
    registry = Registry(options, roots=[Root(folder / "models")], library=Library(folder / "library"))
    with start_server(options, registry=registry) as server:
        server.generate(prompt="this loads it", stream=False)
        yield as_3_2(server)


def as_3_2(server: Any) -> Any:
    """schemathesis looks into streams whose parts are described as OpenAPI 3.2 does it; 3.1 has no word for that."""
    document = server.http.get("/openapi.json").text.replace('"x-itemSchema"', '"itemSchema"')
    schema = schemathesis.openapi.from_dict({**json.loads(document), "openapi": "3.2.0"})
    schema.config.update(base_url=server.url)
    return schema


def ask(operation: Any, mode: GenerationMode) -> None:
    @settings(
        max_examples=6,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def every(case: Case) -> None:
        name_the_model(case)
        case.call_and_validate(checks=CHECKS)

    every()


def name_the_model(case: Case) -> None:
    """That which is there, where any would do."""
    name = case.body.get("model") if isinstance(case.body, dict) else None
    if isinstance(name, str) and len(name) <= MAX_NAME:
        case.body["model"] = MODEL
    if "{name}" in case.path:
        case.path_parameters["name"] = MODEL


@pytest.mark.parametrize(("path", "method", "can_be_wrong"), operations())
def test_answers_are_as_described(served: Any, path: str, method: str, can_be_wrong: bool) -> None:
    ask(served[path][method], GenerationMode.POSITIVE)
    if can_be_wrong:
        ask(served[path][method], GenerationMode.NEGATIVE)
