"""Damaged and hostile GGUF files, made from a valid one.

A file is taken apart into its entries (`Gguf`), changed, and put together again. Tensor data is not copied: the file is
extended to its size, so weights read as zeros and a file costs what its header costs.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
WIDTHS = {U8: 1, I8: 1, U16: 2, I16: 2, U32: 4, I32: 4, F32: 4, BOOL: 1, U64: 8, I64: 8, F64: 8}
BLOCKS = {0: (1, 4), 1: (1, 2), 8: (32, 34), 26: (1, 4)}  # elements and bytes per block of the tensor types in use here
MAX_U32 = 2**32 - 1


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def u32(value: int) -> bytes:
    return struct.pack("<II", U32, value)


def u16(value: int) -> bytes:
    return struct.pack("<IH", U16, value)


def f32(value: float) -> bytes:
    return struct.pack("<If", F32, value)


def boolean(value: int) -> bytes:
    return struct.pack("<IB", BOOL, value)


def string(value: str | bytes) -> bytes:
    return struct.pack("<I", STRING) + text(value.encode() if isinstance(value, str) else value)


def array(kind: int, count: int, data: bytes) -> bytes:
    return struct.pack("<IIQ", ARRAY, kind, count) + data


def strings(values: list[bytes]) -> bytes:
    return array(STRING, len(values), b"".join(text(value) for value in values))


def padded(size: int) -> int:
    return -(-size // 32) * 32


@dataclass
class Tensor:
    name: bytes
    shape: list[int]
    kind: int
    offset: int

    def size(self) -> int:
        elements, width = BLOCKS[self.kind]
        count = 1
        for dimension in self.shape:
            count *= dimension
        return count // elements * width


@dataclass
class Gguf:
    """One file in parts: the header is followed by `data_size` zeros, or as many as `size` of the file leaves."""

    metadata: list[tuple[bytes, bytes]]
    tensors: list[Tensor]
    data_size: int = 0
    size: int | None = None
    magic: bytes = b"GGUF"
    version: int = 3
    n_metadata: int | None = None
    n_tensors: int | None = None

    @classmethod
    def read(cls, path: Path) -> Gguf:
        data = path.read_bytes()
        n_tensors, n_metadata = struct.unpack_from("<QQ", data, 8)
        at = 24

        def take(n: int) -> bytes:
            nonlocal at
            at += n
            return data[at - n : at]

        def take_text() -> bytes:
            return take(struct.unpack("<Q", take(8))[0])

        metadata = []
        for _ in range(n_metadata):
            key = take_text()
            start = at
            kind = struct.unpack("<I", take(4))[0]
            count = 1
            if kind == ARRAY:
                kind, count = struct.unpack("<IQ", take(12))
            if kind == STRING:
                for _ in range(count):
                    take_text()
            else:
                take(WIDTHS[kind] * count)
            metadata.append((key, data[start:at]))
        tensors = []
        for _ in range(n_tensors):
            name = take_text()
            n_dims = struct.unpack("<I", take(4))[0]
            shape = list(struct.unpack(f"<{n_dims}Q", take(8 * n_dims)))
            tensors.append(Tensor(name, shape, *struct.unpack("<IQ", take(12))))
        return cls(metadata, tensors, len(data) - padded(at))

    def get(self, key: str) -> bytes:
        return dict(self.metadata)[key.encode()]

    def set(self, key: str, value: bytes) -> None:
        name = key.encode()
        if name in dict(self.metadata):
            self.metadata = [(k, value if k == name else v) for k, v in self.metadata]
        else:
            self.metadata.append((name, value))

    def remove(self, key: str) -> None:
        self.metadata = [(k, v) for k, v in self.metadata if k != key.encode()]

    def tensor(self, name: str) -> Tensor:
        return next(t for t in self.tensors if t.name == name.encode())

    def tokens(self) -> list[bytes]:
        value, at, found = self.get("tokenizer.ggml.tokens"), 16, []
        while at < len(value):
            length = struct.unpack_from("<Q", value, at)[0]
            found.append(value[at + 8 : at + 8 + length])
            at += 8 + length
        return found

    def arrange(self) -> None:
        """Give all tensors the offsets that follow from their sizes, and the data its size."""
        self.data_size = 0
        for tensor in self.tensors:
            tensor.offset = self.data_size
            self.data_size += padded(tensor.size())

    def full_size(self) -> int:
        return padded(len(self.header())) + self.data_size

    def header(self) -> bytes:
        n_tensors = len(self.tensors) if self.n_tensors is None else self.n_tensors
        n_metadata = len(self.metadata) if self.n_metadata is None else self.n_metadata
        parts = [self.magic, struct.pack("<IQQ", self.version, n_tensors, n_metadata)]
        parts += [text(key) + value for key, value in self.metadata]
        for t in self.tensors:
            parts.append(text(t.name) + struct.pack(f"<I{len(t.shape)}Q", len(t.shape), *t.shape))
            parts.append(struct.pack("<IQ", t.kind, t.offset))
        return b"".join(parts)


@dataclass(frozen=True)
class Mutation:
    """A named change. `mentions` is what the refusal must say; None: loading the file is as good."""

    name: str
    mentions: str | None
    change: Callable[[Gguf], None] = field(compare=False)


@dataclass(frozen=True)
class CorpusFile:
    """A file of the corpus on disk. `mentions` is None where a successful load is as good as a refusal."""

    name: str
    path: Path
    mentions: str | None


def write(file: Gguf, path: Path) -> Path:
    path.write_bytes(file.header())
    with path.open("r+b") as out:
        out.truncate(file.full_size() if file.size is None else file.size)
    return path


def write_all(mutations: list[Mutation], base: Path, folder: Path) -> Iterator[CorpusFile]:
    for mutation in mutations:
        file = Gguf.read(base)
        mutation.change(file)
        yield CorpusFile(mutation.name, write(file, folder / f"{mutation.name}.gguf"), mutation.mentions)


def flip_header_bytes(base: Path, folder: Path, *, count: int, seed: int) -> Iterator[CorpusFile]:
    """Copies of `base` with one to four bytes of its header changed, half of them near its start."""
    chance = random.Random(seed)
    file = Gguf.read(base)
    original = file.header()
    for i in range(count):
        header = bytearray(original)
        for _ in range(chance.randint(1, 4)):
            reach = len(header) if chance.random() < 0.5 else min(len(header), 2000)
            header[chance.randrange(reach)] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        path = folder / f"flip-{seed}-{i}.gguf"
        path.write_bytes(header)
        with path.open("r+b") as out:
            out.truncate(file.full_size())
        yield CorpusFile(path.stem, path, None)
