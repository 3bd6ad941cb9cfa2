"""Files of the library that are named by their content."""

from __future__ import annotations

import re

from shimmy.errors import InvalidRequestError

_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})", re.ASCII)


def blob_file(digest: str) -> str:
    """The path in the library of "sha256:HEX". InvalidRequestError (param "digest") for what is none."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise InvalidRequestError(f"{digest[:80]!r} is no digest: it is sha256: and 64 digits of 0-9 and a-f", "digest")
    return f"blobs/sha256-{match[1]}"
