"""The time, which no model knows."""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from shimmy.agent.tool import Tool
from shimmy.errors import ToolError


class Place(msgspec.Struct, forbid_unknown_fields=True):
    timezone: Annotated[
        str, Meta(min_length=1, max_length=64, description="An IANA name such as Europe/Vienna or America/New_York.")
    ] = "UTC"


def tell_time(place: Place) -> dict[str, Any]:
    now = datetime.now(_zone(place.timezone))
    return {
        "timezone": place.timezone,
        "iso": now.isoformat(timespec="seconds"),
        "unix": int(now.timestamp()),
        "date": now.date().isoformat(),
        "time": now.strftime("%H:%M:%S"),
        "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")[now.weekday()],
        "week": now.isocalendar().week,
        "utc_offset": now.strftime("%z"),
    }


def _zone(name: str) -> tzinfo:
    if name == "UTC":  # known also where there is no database of time zones
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ToolError(f"there is no time zone {name!r}: use an IANA name such as Europe/Vienna, or UTC") from None


current_time = Tool("current_time", "The date, time and weekday now, in a time zone.", Place, tell_time)
