"""Which files of a repository of the Hugging Face hub a reference means."""

from __future__ import annotations

import logging
import re
from pathlib import PurePosixPath
from typing import Any

import msgspec

from shimmy.discovery.gguf_header import GgufError
from shimmy.discovery.shards import check_complete, group_shards, split_stem
from shimmy.errors import InvalidRequestError, ModelNotFoundError
from shimmy.library.download import RemoteFile
from shimmy.library.egress import DownloadError, UnreachableError, missing_library
from shimmy.library.reference import HubReference

_TIMEOUT_SECONDS = 20
_LABEL = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q\d+(?:_[0-9A-Z]+)*|TQ\d_\d|MXFP4(?:_MOE)?|BF16|F16|F32))(?=$|[-._/])", re.IGNORECASE
)
_USUAL = ("Q4_K_M", "Q4_0", "Q4_K_S", "Q4_K_XL", "Q5_K_M", "Q8_0", "MXFP4", "BF16", "F16")
"""In this order, where a reference names none: what most people take first."""
_COMPANIONS = re.compile(r"(?:^|[-._/])(?:mmproj|imatrix)", re.IGNORECASE)


class HubFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a repository; `name` is its path there."""

    name: str
    remote: RemoteFile


def find_files(reference: HubReference, endpoint: str | None = None) -> list[HubFile]:
    """The files of one model, those of a split one in order. `endpoint` stands in for the hub's own (HF_ENDPOINT).

    Blocks. Raises ModelNotFoundError, InvalidRequestError (a quantization that is not there), UnreachableError and
    DownloadError: huggingface_hub is not installed, or the repository is gated or switched off.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise missing_library("huggingface_hub") from None
    hub = huggingface_hub.HfApi(endpoint=endpoint)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line for each request, else
    repository = reference.repository
    unreachable: Any = errors.HfHubHTTPError.__bases__  # OSError, and whatever the library's own HTTP library raises
    try:
        info = hub.model_info(repository, files_metadata=True, timeout=_TIMEOUT_SECONDS)
    except errors.GatedRepoError as error:
        raise DownloadError(
            f"{repository} is gated: accept its terms on the hub's site and set HF_TOKEN to a token of that account"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ModelNotFoundError(
            f"the Hugging Face hub has no public model {repository!r}; for a private one set HF_TOKEN"
        ) from error
    except errors.HFValidationError as error:
        raise InvalidRequestError(f"model {repository!r} cannot be pulled: {error}", "model") from error
    except errors.OfflineModeIsEnabled as error:
        raise UnreachableError("the Hugging Face hub may not be called: HF_HUB_OFFLINE is set") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        kind = UnreachableError if status in (408, 429) or status >= 500 else DownloadError
        raise kind(f"the Hugging Face hub answered {status} for {repository}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DownloadError(f"{hub.endpoint} answers with what is no description of {repository}") from error
    except unreachable as error:
        raise UnreachableError(f"{hub.endpoint} cannot be reached: {error}") from error
    siblings = {one.rfilename: one for one in info.siblings or () if one.rfilename.lower().endswith(".gguf")}
    try:
        token = huggingface_hub.get_token()
    except OSError as error:
        raise DownloadError(f"the token of the Hugging Face hub cannot be read: {error.strerror or error}") from error
    headers = {"authorization": f"Bearer {token}"} if token else {}
    found = []
    for name in choose_files(list(siblings), reference):
        sibling = siblings[name]
        if not isinstance(sibling.size, int) or not _is_safe(name):
            raise DownloadError(f"{repository}: the hub does not say how large {name} is")
        found.append(
            HubFile(
                name=name,
                remote=RemoteFile(
                    url=huggingface_hub.hf_hub_url(repository, name, revision=info.sha, endpoint=endpoint),
                    size=sibling.size,
                    sha256=None if sibling.lfs is None else sibling.lfs.sha256,
                    headers=headers,
                ),
            )
        )
    return found


def choose_files(names: list[str], reference: HubReference) -> list[str]:
    """The GGUF files among `names` that `reference` means. ModelNotFoundError where there are none at all,
    InvalidRequestError (param "model") naming what there is.
    """
    models = {
        _stem(group[0]): group for group in group_shards(name for name in sorted(names) if not _is_companion(name))
    }
    if not models:
        raise ModelNotFoundError(
            f"{reference.repository} has no GGUF files; look for a repository of that model whose name ends in -GGUF"
        )
    wanted = reference.quantization
    if wanted is None and len(models) == 1:
        return _complete(next(iter(models.values())))
    for word in _USUAL if wanted is None else (wanted,):
        matching = [stem for stem in models if _is_called(stem, word)]
        if matching:
            return _complete(models[min(matching, key=len)])
    said = f"has no {wanted}" if wanted else "has several models"
    labels = sorted({match[1].upper() for stem in models if (match := _LABEL.search(stem))}) or sorted(models)
    raise InvalidRequestError(
        f"{reference.repository} {said}: choose one with {reference.repository}:NAME of {', '.join(labels[:40])}",
        "model",
    )


def _is_called(stem: str, word: str) -> bool:
    """Whether `word` is one whole part of a file's path, or the name of the file itself."""
    word = word.removesuffix(".gguf")
    return re.search(rf"(?:^|[-./]){re.escape(word)}(?:$|[-./])", stem, re.IGNORECASE) is not None


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return (path.parent / (split_stem(path.name) or path.stem)).as_posix()


def _is_companion(name: str) -> bool:
    return _COMPANIONS.search(name) is not None


def _complete(group: list[str]) -> list[str]:
    try:
        check_complete(group)
    except GgufError as error:
        raise DownloadError(f"the repository lacks files: {error.message}") from error
    return group


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name
