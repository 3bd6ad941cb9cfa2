"""The version that the server tells its clients."""

from __future__ import annotations

import shimmy


def package_version() -> str:
    """As in "0.1.0"."""
    return shimmy.__version__
