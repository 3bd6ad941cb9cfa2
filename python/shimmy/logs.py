"""Where log records go: stderr, as text or as one JSON object per line."""

from __future__ import annotations

import json
import logging
import re
import sys
import time

from shimmy.settings import LogFormat, LogLevel

_CHATTY = ("shimmy.llama", "uvicorn")
_TELLTALE = ("httpx", "httpx2", "httpcore", "httpcore2")
"""They tell the addresses that they ask, and headers: those of downloads are signed, and hold tokens."""
# uvicorn's color_message says the message again.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}
_PLAIN = re.compile(r"[!#-<>-~]+")
"""Printable ASCII without spaces, double quotes and =."""


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Send every record of `level` and above to stderr. Replaces handlers that an earlier call installed.

    llama.cpp and the HTTP server tell about every load and request at level info; of them only warnings show, unless
    `level` is debug. Of HTTP clients they always do.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.set_name("shimmy")
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "shimmy"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    for name in _TELLTALE:
        logging.getLogger(name).setLevel(logging.WARNING)


class TextFormatter(logging.Formatter):
    """One line per record, its extras as name=value at the end of the message, and then its traceback."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        extras = "".join(f" {name}={_text(value)}" for name, value in _extras(record).items())
        return super().formatMessage(record) + extras


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


def _text(value: object) -> str:
    """A value without spaces as it is, any other as JSON: nothing that a client sent can look like another field."""
    text = str(value)
    if isinstance(value, str | int | float) and _PLAIN.fullmatch(text):
        return text
    return json.dumps(value, default=str, ensure_ascii=True)


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time (RFC 3339, UTC), level, logger, message, error, and the record's extras."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        entry.update(_extras(record))
        return json.dumps(entry, default=str, ensure_ascii=False)
