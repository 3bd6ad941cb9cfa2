"""The tools that come with shimmy. They compute: none touches files or the network."""

from __future__ import annotations

from typing import Any

from shimmy.agent.tool import Tool
from shimmy.agent.tools.calculator import calculator
from shimmy.agent.tools.current_time import current_time
from shimmy.agent.tools.json_query import json_query
from shimmy.agent.tools.text_statistics import text_statistics

BUILT_IN: tuple[Tool[Any], ...] = (calculator, current_time, json_query, text_statistics)
