"""The table from errors to statuses: what the SDKs would send again, and what they would not."""

from __future__ import annotations

import json

import pytest

from shimmy import errors
from shimmy.errors import ShimmyError
from shimmy.library.egress import DownloadError
from shimmy.server.errors import TABLE, anthropic_error, problem_of
from shimmy.settings import SettingsError

PERMANENT = (
    errors.InvalidRequestError("no"),
    errors.PromptTooLongError("no", n_prompt_tokens=2, n_ctx=1),
    errors.TemplateError("no"),
    errors.ModelNotFoundError("no"),
    errors.ToolNotFoundError("no"),
    errors.ModelTooLargeError("no"),
    SettingsError("no"),
    DownloadError("no"),
)
RETRIED = {408, 409, 429}


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
def test_what_cannot_be_mended_by_asking_again_is_not_retried(error: ShimmyError) -> None:
    problem = problem_of(error)
    assert 400 <= problem.status < 500
    assert problem.status not in RETRIED | {422}
    assert "retry-after" not in problem.headers


def test_a_model_that_does_not_load_is_the_one_exception() -> None:
    assert [row.error for row in TABLE if row.permanent] == [errors.ModelLoadError]
    problem = problem_of(errors.ModelLoadError("bad magic"))
    assert (problem.status, problem.headers) == (502, {"x-should-retry": "false"})


def test_subclasses_stand_before_their_bases() -> None:
    for at, row in enumerate(TABLE):
        assert not any(issubclass(later.error, row.error) for later in TABLE[at + 1 :]), row.error


@pytest.mark.parametrize(
    ("n_prompt", "told"),
    [
        (4097, "prompt is too long: 4097 tokens > 4095 maximum; say less"),
        (4096, "prompt is too long: 4096 tokens > 4095 maximum; say less"),
        (3000, "prompt is too long: say less"),  # what may not be cut of it is, see truncate_middle
    ],
)
def test_anthropics_clients_know_a_prompt_that_is_too_long(n_prompt: int, told: str) -> None:
    error = errors.PromptTooLongError("say less", n_prompt_tokens=n_prompt, n_ctx=4096)
    assert json.loads(anthropic_error(problem_of(error)))["error"] == {
        "type": "invalid_request_error",
        "message": told,
    }
