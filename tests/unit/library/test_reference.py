"""Names by which models are pulled, and those that lead nowhere."""

from __future__ import annotations

import pytest

from shimmy.errors import InvalidRequestError
from shimmy.library.reference import HubReference, RegistryReference, check_name, parse_reference

HOST = "registry.example"


@pytest.mark.parametrize(
    ("name", "repository", "quantization"),
    [
        ("owner/repo", "owner/repo", None),
        ("owner/repo:Q4_K_M", "owner/repo", "Q4_K_M"),
        ("owner/repo:latest", "owner/repo", None),
        ("hf.co/Own.er/Repo-1.5:q8_0", "Own.er/Repo-1.5", "q8_0"),
        ("huggingface.co/owner/repo", "owner/repo", None),
        ("https://hf.co/owner/repo", "owner/repo", None),
    ],
)
def test_of_the_hub(name: str, repository: str, quantization: str | None) -> None:
    assert parse_reference(name, HOST) == HubReference(repository, quantization)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("llama3", "library/llama3/latest"),
        ("llama3:8b", "library/llama3/8b"),
        (f"{HOST}/me/llama3:8b-q4", "me/llama3/8b-q4"),
        (f"https://{HOST}/llama3", "library/llama3/latest"),
    ],
)
def test_of_a_registry(name: str, path: str) -> None:
    reference = parse_reference(name, HOST)
    assert isinstance(reference, RegistryReference)
    assert reference.path == f"{HOST}/{path}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "a/b/c",
        "hf.co/owner",
        "hf.co/a/b/c",
        "../../etc",
        "a..b",
        "owner/..",
        "owner/repo:",
        "owner/repo:a:b",
        "owner/repo:a/b",
        "llama3:../x",
        "x" * 97,
        f"{HOST}/{'x' * 90}/{'y' * 90}:{'z' * 90}",
        "a\\b",
        "a%2f..",
        "a\0b",
        "http://hf.co/a/b",
        "evil.example/a/b",
        "127.0.0.1:80/a/b",
        "user@hf.co/a/b",
        "hf.co:443/a/b",
        "a/b--c",
        "owner/x.git",
        "owner/x-",
        f"{HOST}.evil/a/b",
    ],
)
def test_what_cannot_be_pulled(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_reference(name, HOST)
    assert caught.value.param == "model"


@pytest.mark.parametrize("name", ["mario", "me/mario:v1.2", "hf.co/a/b:Q4_K_M"])
def test_names_of_models(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "../a", "a//b", "a:", "a:b:c", "a/", "ü", "a\n"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="is no name"):
        check_name(name)


@pytest.mark.parametrize("name", ["x" * 201, "/".join("a" * 100), "x" * 1_000_000])
def test_names_that_are_too_long_for_a_file(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="too long a name") as caught:
        check_name(name)
    assert len(caught.value.message) < 200
