"""llama.cpp's log lines in Python's logging, under the logger `shimmy.llama`."""

from __future__ import annotations

import atexit
import logging
from functools import cache

from shimmy import _core

_logger = logging.getLogger("shimmy.llama")


@cache
def install() -> None:
    """Forward llama.cpp's lines to the logger `shimmy.llama` from now on. Once per process."""
    _core.set_log_callback(_logger.log)
    # The forwarding thread takes the GIL, so it has to end before the interpreter does.
    atexit.register(_core.set_log_callback, None)
