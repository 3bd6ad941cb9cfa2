"""Amounts of memory as people write them."""

from __future__ import annotations

import re

_UNITS: dict[str, int] = {
    "": 1,
    "B": 1,
    **{unit: 1024**power for power, letter in enumerate("KMGT", 1) for unit in (letter, f"{letter}IB")},
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z]*)")


def bytes_of(text: str | int) -> int:
    """Bytes of "8GiB", "8G" (the same), "8GB" (powers of 1000), "512M", "1.5g" or a number. ValueError otherwise."""
    found = _SIZE.fullmatch(str(text).strip())
    unit = None if found is None else _UNITS.get(found[2].upper())
    if found is None or unit is None:
        raise ValueError(f'{text!r} is no amount of memory: write bytes, or for example "8GiB"')
    return round(float(found[1]) * unit)


def size_text(n_bytes: float) -> str:
    """For people: 11712480 -> "11.2 MiB"."""
    size = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
