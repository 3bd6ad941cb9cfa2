"""The file format: what is read is what was written, and damage of the header is noticed wherever it is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.kv_store.prefix_file import (
    MIN_TOKENS,
    DamagedPrefixError,
    PrefixHeader,
    Space,
    file_start,
    pack_tokens,
    read_header,
)

TOKENS = np.arange(MIN_TOKENS, dtype=np.int32)
HEADER = PrefixHeader(fingerprint="model=1", space=Space("alice", 7), tokens=pack_tokens(TOKENS), seconds=1.5)
STATE = b"the engine's bytes"


def read(data: bytes) -> tuple[PrefixHeader, int]:
    return read_header(io.BytesIO(data), len(data))


def test_a_header_is_read_as_it_was_written() -> None:
    data = file_start(HEADER, len(STATE)) + STATE
    header, offset = read(data)
    assert header == HEADER
    assert data[offset:] == STATE
    assert header.token_array().tolist() == TOKENS.tolist()


def test_every_damaged_byte_of_the_header_is_noticed() -> None:
    data = file_start(HEADER, len(STATE)) + STATE
    for at in range(len(data) - len(STATE)):
        for flip in (1, 0x80):
            damaged = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            with pytest.raises(DamagedPrefixError):
                read(damaged)


def test_a_file_of_another_length_is_noticed() -> None:
    data = file_start(HEADER, len(STATE)) + STATE
    for length in range(len(data)):
        with pytest.raises(DamagedPrefixError):
            read(data[:length])
    with pytest.raises(DamagedPrefixError, match="truncated"):
        read(data + b"\0")


@given(st.binary(max_size=200))
def test_anything_else_is_no_prefix_file(data: bytes) -> None:
    with pytest.raises(DamagedPrefixError):
        read(data)


@pytest.mark.parametrize("tokens", [b"", b"\0" * (4 * MIN_TOKENS - 4), b"\0" * (4 * MIN_TOKENS + 1)])
def test_tokens_that_are_no_prefix_are_refused(tokens: bytes) -> None:
    with pytest.raises(DamagedPrefixError, match="no prefix"):
        read(file_start(PrefixHeader(fingerprint="f", space=Space(), tokens=tokens), 0))


def test_each_part_makes_another_name() -> None:
    def name(fingerprint: str = "f", tenant: str = "t", adapters: int = 0, tokens: bytes = b"x") -> str:
        return PrefixHeader(fingerprint=fingerprint, space=Space(tenant, adapters), tokens=tokens).name()

    names = {name(), name("g"), name("ft", ""), name(tenant="u"), name(adapters=1), name(tokens=b"y")}
    assert len(names) == 6
    assert name() == name()
