"""One child process per loaded model, so that a crash or an abort in native code takes down that model only."""

from __future__ import annotations

from shimmy.runner.client import RunnerClient

__all__ = ["RunnerClient"]
