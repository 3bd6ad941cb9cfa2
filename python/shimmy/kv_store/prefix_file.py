"""The file of one stored prefix: what it is of, and the engine's bytes.

Little-endian: magic, version, size of the header (u32 each), size of the state (u64), BLAKE2b of all before it and of
the header (16 bytes); the header, as msgpack; the state, which carries a checksum of its own (`Engine.save_prefix`).
"""

from __future__ import annotations

import hashlib
import struct
from typing import BinaryIO, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from shimmy.errors import ShimmyError

TokenArray: TypeAlias = npt.NDArray[np.int32]

MIN_TOKENS = 256
"""Shorter prefixes are not worth a file."""

VERSION = 1

_MAGIC = b"SHMKVPFX"
_SIZES = struct.Struct("<8sIIQ")
_DIGEST_BYTES = 16
_START = _SIZES.size + _DIGEST_BYTES
_MAX_HEADER = 1 << 27  # the tokens of a context of 16 million, and a half


class DamagedPrefixError(ShimmyError):
    """A file is no whole prefix file of this version; the message says why."""


class Space(msgspec.Struct, frozen=True):
    """Prefixes are shared within one only, as in the engine."""

    tenant: str = ""
    adapters: int = 0
    """`Engine.prefix_adapters`; 0: none."""


class PrefixHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a stored prefix is of."""

    fingerprint: str
    """Of the model, its settings and the build (see `PrefixStore`)."""
    space: Space
    tokens: bytes
    """int32 each, little-endian."""
    seconds: float = 0.0
    """How long computing it takes here, about; 0: not known."""

    def name(self) -> str:
        """The same for the same prefix, in hexadecimal digits."""
        hashed = hashlib.blake2b(digest_size=16)
        for part in (self.fingerprint, self.space.tenant, str(self.space.adapters)):
            encoded = part.encode("utf-8", "surrogatepass")
            hashed.update(struct.pack("<Q", len(encoded)) + encoded)
        hashed.update(self.tokens)
        return hashed.hexdigest()

    def token_array(self) -> TokenArray:
        return np.frombuffer(self.tokens, dtype="<i4").astype(np.int32)


def pack_tokens(tokens: TokenArray) -> bytes:
    return tokens.astype("<i4").tobytes()


def file_start(header: PrefixHeader, state_bytes: int) -> bytes:
    """What comes before the state."""
    encoded = msgspec.msgpack.encode(header)
    sizes = _SIZES.pack(_MAGIC, VERSION, len(encoded), state_bytes)
    return sizes + _digest(sizes, encoded) + encoded


def read_header(file: BinaryIO, file_bytes: int) -> tuple[PrefixHeader, int]:
    """The header of a file of `file_bytes`, and where its state begins. DamagedPrefixError; reads no state."""
    start = file.read(_START)
    if len(start) < _START:
        raise DamagedPrefixError("it is shorter than its beginning")
    magic, version, header_bytes, state_bytes = _SIZES.unpack_from(start)
    if magic != _MAGIC or version != VERSION:
        raise DamagedPrefixError("it was not written by this version of shimmy")
    if header_bytes > _MAX_HEADER or _START + header_bytes + state_bytes != file_bytes:
        raise DamagedPrefixError("it is truncated, or its sizes are damaged")
    encoded = file.read(header_bytes)
    if _digest(start[: _SIZES.size], encoded) != start[_SIZES.size :]:
        raise DamagedPrefixError("the checksum of its header is wrong")
    try:
        header = msgspec.msgpack.decode(encoded, type=PrefixHeader)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedPrefixError(f"its header cannot be read: {error}") from error
    if len(header.tokens) % 4 or len(header.tokens) < 4 * MIN_TOKENS:
        raise DamagedPrefixError(f"its {len(header.tokens)} bytes of tokens are no prefix")
    return header, _START + header_bytes


def _digest(sizes: bytes, header: bytes) -> bytes:
    return hashlib.blake2b(sizes + header, digest_size=_DIGEST_BYTES).digest()
