"""What a GGUF file says about itself, read with bounded time and memory.

Only the header is read (metadata and tensor list), a window at a time. Long arrays and strings are stepped over, and
what is kept of the others is bounded, so neither a large vocabulary nor a hostile file costs more than some MB and some
50 ms. The reader is stricter than llama.cpp on purpose: what it refuses is never handed to native code.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from shimmy.discovery.tensor_types import BLOCK_SIZES
from shimmy.errors import ModelLoadError

MAX_METADATA = 4096
MAX_TENSORS = 16_384
MAX_KEY_BYTES = 65_535
MAX_KEYS_BYTES = 256 * 1024
"""Of all metadata keys together; those of known models take 4 KiB."""
MAX_TENSOR_NAME_BYTES = 256
"""llama.cpp takes 63."""
MAX_STRING_BYTES = 16 * 1024 * 1024
MAX_STEPS = 850_000
"""Work in units of one string that is stepped over, some 60 ns. The largest vocabularies known hold 780,000 strings
with their merges, and their models take 50,000 for tensors.
"""
MAX_HEADER_BYTES = 32 * 1024 * 1024
KEPT_BYTES = 512 * 1024
"""Of the file, in all values together. In memory a character takes up to four bytes."""
KEPT_STRING_BYTES = 64 * 1024
KEPT_ARRAY_LENGTH = 64

_ENTRY_STEPS, _TENSOR_STEPS, _KEPT_STEPS = 32, 28, 16
_KEPT_ELEMENT = 40  # bytes in memory of a number or a string without its characters

_FIRST_WINDOW = 8 * 1024
_WINDOW = 256 * 1024
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_MAX_DIGITS = 6  # of a block's number
_UNKNOWN_BLOCK = (1, 0)  # a type newer than this table: only where the tensor begins is checked
_U32, _U64 = _SCALARS[4], _SCALARS[10]


class GgufError(ModelLoadError):
    """A file is not a usable GGUF file; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Omitted:
    """Stands for a string or an array that was stepped over, because it is long or much was kept before it: `length` in
    bytes or elements.
    """

    length: int


Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...] | Omitted


@dataclass(frozen=True)
class GgufHeader:
    """The header of one GGUF file."""

    version: int
    metadata: dict[str, Value]
    """Strings over 64 KiB and arrays over 64 elements are `Omitted`, and what comes after 512 KiB of values."""
    n_tensors: int
    n_params: int
    """Elements of all tensors in this file; a split model's other files hold more."""
    matrix_bytes: dict[int, int] = field(default_factory=dict)
    """Of the matrices that are multiplied with, by type number: all of two dimensions but the embedding of tokens."""
    embedding_bytes: int = 0
    """Of the embedding of tokens."""
    blocks: frozenset[int] = frozenset()
    """Numbers of the blocks ("blk.7.attn_norm.weight") that have tensors in this file."""
    nextn_blocks: frozenset[int] = frozenset()
    """Those of `blocks` that are heads for the tokens after the next one ("blk.61.nextn.eh_proj.weight")."""

    def text(self, key: str) -> str | None:
        """The string at `key`; None when there is none."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def integer(self, key: str) -> int | None:
        """The integer at `key`; None when there is none."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_header(path: Path) -> GgufHeader:
    """Read the header of `path`. Raises GgufError, or OSError when the file cannot be read."""
    with path.open("rb", buffering=0) as file:
        cursor = _Cursor(file)
        try:
            return _read(cursor)
        except GgufError as error:
            raise GgufError(f"{path}: {error.message}") from None


def _read(cursor: _Cursor) -> GgufHeader:
    if cursor.size < 24:
        raise GgufError(f"not a GGUF file: {cursor.size} bytes are too few")
    if cursor.take(4) != b"GGUF":
        raise GgufError("not a GGUF file: it does not start with the letters GGUF")
    version = cursor.number(_U32)
    if version not in (2, 3):
        if version in (0x02000000, 0x03000000):
            raise GgufError("this GGUF file is big-endian; convert it to little-endian")
        raise GgufError(f"GGUF version {version} is not supported; versions 2 and 3 are")
    n_tensors = cursor.number(_U64)
    n_metadata = cursor.number(_U64)
    if n_metadata > MAX_METADATA:
        raise GgufError(f"it claims {n_metadata} metadata entries; at most {MAX_METADATA} are accepted")
    if n_tensors > MAX_TENSORS:
        raise GgufError(f"it claims {n_tensors} tensors; at most {MAX_TENSORS} are accepted")
    cursor.work(n_metadata * _ENTRY_STEPS + n_tensors * _TENSOR_STEPS)
    metadata: dict[str, Value] = {}
    for _ in range(n_metadata):
        key = _key(cursor)
        if key in metadata:
            raise GgufError(f"metadata key {key!r} appears twice")
        try:
            metadata[key] = _value(cursor, cursor.number(_U32))
        except GgufError as error:
            raise GgufError(f"metadata {key!r}: {error.message}") from None
    return _with_tensors(GgufHeader(version, metadata, n_tensors, 0), cursor, _alignment(metadata))


def _key(cursor: _Cursor) -> str:
    length = cursor.number(_U64)
    if not 0 < length <= MAX_KEY_BYTES:
        raise GgufError(
            f"a metadata key of {length} bytes at offset {cursor.offset - 8}; 1 to {MAX_KEY_BYTES} are allowed"
        )
    cursor.key_bytes += length
    if cursor.key_bytes > MAX_KEYS_BYTES:
        raise GgufError(f"metadata keys of more than {MAX_KEYS_BYTES} bytes together")
    try:
        return cursor.take(length).decode()
    except UnicodeDecodeError:
        raise GgufError(f"a metadata key that is not UTF-8 before offset {cursor.offset}") from None


def _value(cursor: _Cursor, kind: int) -> Value:
    if kind in _SCALARS:
        return cursor.number(_SCALARS[kind])
    if kind == _STRING:
        return _string(cursor)
    if kind == _ARRAY:
        return _array(cursor)
    raise GgufError(f"unknown value type {kind}")


def _string(cursor: _Cursor) -> str | Omitted:
    length = cursor.number(_U64)
    if length > MAX_STRING_BYTES:
        raise GgufError(f"a string of {length} bytes; at most {MAX_STRING_BYTES} are accepted")
    if length > KEPT_STRING_BYTES or not cursor.keeps(length):
        cursor.skip(length)
        return Omitted(length)
    return cursor.take(length).decode(errors="replace")


def _array(cursor: _Cursor) -> Value:
    kind = cursor.number(_U32)
    length = cursor.number(_U64)
    if kind == _STRING:
        kept = length <= KEPT_ARRAY_LENGTH and cursor.keeps(length * _KEPT_ELEMENT)
        cursor.work(length * _KEPT_STEPS if kept else length)
        if not kept:
            cursor.skip_strings(length)
            return Omitted(length)
        strings = [_string(cursor) for _ in range(length)]
        whole = tuple(item for item in strings if isinstance(item, str))
        return whole if len(whole) == length else Omitted(length)
    if kind not in _SCALARS:
        raise GgufError(f"an array of unknown value type {kind}" if kind != _ARRAY else "an array of arrays")
    number = _SCALARS[kind]
    if length > KEPT_ARRAY_LENGTH or not cursor.keeps(length * _KEPT_ELEMENT):
        cursor.skip(length * number.size)
        return Omitted(length)
    return tuple(value for (value,) in number.iter_unpack(cursor.take(length * number.size)))


def _alignment(metadata: dict[str, Value]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or isinstance(alignment, bool) or alignment <= 0 or alignment & (alignment - 1):
        raise GgufError(f"metadata 'general.alignment' is {alignment!r}; it must be a power of two")
    return alignment


def _with_tensors(header: GgufHeader, cursor: _Cursor, alignment: int) -> GgufHeader:
    """What the tensor list adds, which is checked against the file's size."""
    count = header.n_tensors
    n_params = embedding_bytes = 0
    matrices: dict[int, int] = {}
    blocks: set[int] = set()
    nextn_blocks: set[int] = set()
    last, last_name, end = -1, "", 0
    for _ in range(count):
        length = cursor.number(_U64)
        if length > MAX_TENSOR_NAME_BYTES:
            raise GgufError(f"a tensor name of {length} bytes; at most {MAX_TENSOR_NAME_BYTES} are accepted")
        name = cursor.take(length).decode(errors="replace")
        n_dims = cursor.number(_U32)
        if not 1 <= n_dims <= 4:
            raise GgufError(f"tensor {name!r} has {n_dims} dimensions; 1 to 4 are allowed")
        elements = 1
        for _ in range(n_dims):
            extent = cursor.number(_U64)
            if extent == 0:
                raise GgufError(f"tensor {name!r} has a dimension of zero")
            elements *= extent
        if elements >= 1 << 63:
            raise GgufError(f"tensor {name!r} claims {elements} elements")
        kind = cursor.number(_U32)
        block, n_bytes = BLOCK_SIZES.get(kind, _UNKNOWN_BLOCK)
        offset = cursor.number(_U64)
        size = elements // block * n_bytes
        if name == "token_embd.weight":
            embedding_bytes = size
        elif n_dims == 2:
            matrices[kind] = matrices.get(kind, 0) + size
        if offset > last:
            last, last_name, end = offset, name, offset + size
        if name.startswith("blk."):
            number, _, part = name[4:].partition(".")
            if number.isdecimal() and len(number) <= _MAX_DIGITS:
                blocks.add(int(number))
                if part.startswith("nextn."):
                    nextn_blocks.add(int(number))
        n_params += elements
    data = -(-cursor.offset // alignment) * alignment
    if count and data + last >= cursor.size:
        raise GgufError(
            f"the file is truncated: tensor {last_name!r} starts at byte {data + last} of {cursor.size}; copy or "
            "download it again"
        )
    if count and data + end > cursor.size:
        raise GgufError(
            f"the file is truncated: tensor {last_name!r} ends at byte {data + end} and the file at {cursor.size}; "
            "copy or download it again, or wait for the download to end"
        )
    return replace(
        header,
        n_params=n_params,
        matrix_bytes=matrices,
        embedding_bytes=embedding_bytes,
        blocks=frozenset(blocks),
        nextn_blocks=frozenset(nextn_blocks),
    )


class _Cursor:
    """A forward reader over a window of the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._window = b""
        self._position = 0
        self._start = 0
        self.size = os.fstat(file.fileno()).st_size
        self.key_bytes = 0
        self._steps = 0
        self._kept = 0

    @property
    def offset(self) -> int:
        """Bytes from the start of the file."""
        return self._start + self._position

    def work(self, steps: int) -> None:
        """Count what is about to be done. GgufError when that is more than any known header takes."""
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise GgufError(
                "it has more strings, values and tensors than any known model: its header would take "
                f"{self._steps} steps to read, and at most {MAX_STEPS} are accepted"
            )

    def keeps(self, n_bytes: int) -> bool:
        """Whether a value of so many bytes can be kept beside those before it."""
        kept = self._kept + n_bytes <= KEPT_BYTES
        if kept:
            self._kept += n_bytes
        return kept

    def take(self, n: int) -> bytes:
        """The next `n` bytes."""
        end = self._position + n
        if end > len(self._window):
            self._require(n)
            self._refill(n)
            end = n
        taken = self._window[self._position : end]
        self._position = end
        return taken

    def number(self, kind: struct.Struct) -> int:
        position = self._position
        if position + kind.size > len(self._window):
            self._require(kind.size)
            self._refill(kind.size)
            position = 0
        self._position = position + kind.size
        value: int = kind.unpack_from(self._window, position)[0]
        return value

    def skip(self, n: int) -> None:
        """Step over `n` bytes without reading them."""
        self._require(n)
        target = self.offset + n
        if target <= self._start + len(self._window):
            self._position += n
        else:
            self._start, self._position, self._window = target, 0, b""

    def skip_strings(self, count: int) -> None:
        """Step over `count` length-prefixed strings."""
        self._require(count * 8)
        read_length = _U64.unpack_from
        window, position = self._window, self._position
        done = 0
        while done < count:
            try:
                # An error is cheaper than a comparison for each of a million.
                for done in range(done, count):  # noqa: B007, B020 - goes on where it ended
                    position += 8 + read_length(window, position)[0]
                break
            except (struct.error, OverflowError):
                self._position = min(position, len(window))
                self.skip(position - self._position)
                self._require(8)
                self._refill(8)
                window, position = self._window, 0
        self._position = min(position, len(window))
        self.skip(position - self._position)

    def _require(self, n: int) -> None:
        if n > self.size - self.offset:
            raise GgufError(
                f"the file is truncated: {n} bytes are needed at offset {self.offset} and it has {self.size}"
            )
        if n > MAX_HEADER_BYTES - self.offset:
            raise GgufError(f"its header is longer than {MAX_HEADER_BYTES} bytes")

    def _refill(self, n: int) -> None:
        """Start the window at the current offset, with at least `n` bytes in it."""
        offset = self.offset
        self._file.seek(offset)
        chunks = b""
        size = max(n, _WINDOW if offset else _FIRST_WINDOW)
        while len(chunks) < n:
            chunk = self._file.read(size - len(chunks))
            if not chunk:
                raise GgufError(f"the file ended at offset {offset + len(chunks)} while it was being read")
            chunks += chunk
        self._window, self._start, self._position = chunks, offset, 0
