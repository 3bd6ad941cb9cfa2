"""The package's public names, and what importing it costs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import shimmy


def test_all_names_are_importable_and_no_other_is_declared() -> None:
    assert shimmy.__all__ == sorted(shimmy.__all__, key=lambda name: (name != "LLM", not name[0].isupper(), name))
    assert set(shimmy.__all__) == set(shimmy._HOME)
    for name in shimmy.__all__:
        home = importlib.import_module(f"shimmy.{shimmy._HOME[name]}")
        assert getattr(shimmy, name) is getattr(home, name)


def test_every_error_is_public() -> None:
    from shimmy import errors

    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert classes == set(errors.__all__) <= set(shimmy.__all__)
    assert all(issubclass(getattr(shimmy, name), shimmy.ShimmyError) for name in classes)


def test_dir_lists_the_public_names() -> None:
    assert set(shimmy.__all__) <= set(dir(shimmy))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'shimmy' has no attribute 'Lama'"):
        shimmy.Lama  # noqa: B018


def imported_by(code: str) -> set[str]:
    script = f"import sys; before = set(sys.modules); {code}; print(*(set(sys.modules) - before))"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


def test_importing_the_package_loads_nothing_else() -> None:
    loaded = imported_by("import shimmy")
    assert "shimmy._core" not in loaded
    assert {name for name in loaded if name.startswith("shimmy")} == {"shimmy"}
    assert not {"numpy", "msgspec", "asyncio", "fastapi", "typer"} & loaded


def test_the_first_use_of_a_name_loads_its_module_only() -> None:
    loaded = imported_by("from shimmy import QueueFullError, demo_model_path; demo_model_path()")
    assert {name for name in loaded if name.startswith("shimmy")} == {
        "shimmy",
        "shimmy.data",
        "shimmy.demo_model",
        "shimmy.errors",
    } - ({"shimmy.data"} - loaded)
    assert "shimmy._core" in imported_by("from shimmy import LLM")
