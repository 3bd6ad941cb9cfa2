"""Counters and histograms of what was generated, in Prometheus' terms.

Recording is plain arithmetic; prometheus_client renders them, and is imported with the first scrape.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from shimmy.model_info import EngineStats
from shimmy.output import Usage

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """Counts of seconds by upper bound."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_SECONDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(_SECONDS, seconds)] += 1
        self._sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulated, as Prometheus wants them."""
        total = 0
        rows: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, _SECONDS), "+Inf"), self._counts, strict=True):
            total += count
            rows.append((bound, total))
        return rows

    @property
    def sum(self) -> float:
        return self._sum


class ModelMetrics:
    """Of one model."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        """How they ended: a finish reason, or error."""
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.completion_tokens = 0
        self.drafted_tokens = 0
        self.accepted_tokens = 0
        self.first_token = Histogram()
        self.between_outputs = Histogram()
        self.queue = Histogram()

    def finished(self, outcome: str, usage: Usage | None) -> None:
        self.requests[outcome] += 1
        if usage is not None:
            self.prompt_tokens += usage.prompt_tokens
            self.cached_tokens += usage.cached_tokens
            self.completion_tokens += usage.completion_tokens
            self.drafted_tokens += usage.drafted_tokens
            self.accepted_tokens += usage.accepted_tokens
            if usage.prompt_tokens > 0:  # else it was never admitted
                self.queue.observe(usage.queue_seconds)


class Metrics:
    """Of all models, by name."""

    def __init__(self) -> None:
        self._models: dict[str, ModelMetrics] = {}
        self.refused: Counter[str] = Counter()
        """Requests over a limit, by the name of its option."""

    def of(self, model: str) -> ModelMetrics:
        return self._models.setdefault(model, ModelMetrics())

    @property
    def n_requests(self) -> int:
        return sum(metrics.requests.total() for metrics in self._models.values())

    def text(self, engines: Mapping[str, EngineStats]) -> bytes:
        """The exposition format, with the counters of the engines that are loaded now."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(_Collected([*self._families(), *_engine_families(engines)]))
        return generate_latest(registry)

    def _families(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily("shimmy_requests", "Requests that ended, and how.", labels=["model", "outcome"])
        for name, metrics in self._models.items():
            for outcome, count in metrics.requests.items():
                requests.add_metric([name, outcome], count)
        yield requests
        for field, text in (
            ("prompt_tokens", "Prompt tokens."),
            ("cached_tokens", "Prompt tokens whose KV cells were reused."),
            ("completion_tokens", "Generated tokens."),
            ("drafted_tokens", "Tokens that speculation proposed."),
            ("accepted_tokens", "Proposed tokens that came out."),
        ):
            counter = CounterMetricFamily(f"shimmy_{field}", text, labels=["model"])
            for name, metrics in self._models.items():
                counter.add_metric([name], getattr(metrics, field))
            yield counter
        for field, title, text in (
            ("first_token", "time_to_first_token", "From the request to its first output."),
            ("between_outputs", "inter_token", "Between two outputs of a request."),
            ("queue", "queue", "From the request's arrival at the engine to its first step."),
        ):
            histogram = HistogramMetricFamily(f"shimmy_{title}_seconds", text, labels=["model"])
            for name, metrics in self._models.items():
                values: Histogram = getattr(metrics, field)
                histogram.add_metric([name], values.buckets(), values.sum)
            yield histogram
        refused = CounterMetricFamily(
            "shimmy_refused_requests", "Requests that got 429, by the limit that they were over.", labels=["limit"]
        )
        for limit, count in self.refused.items():
            refused.add_metric([limit], count)
        yield refused


def _engine_families(engines: Mapping[str, EngineStats]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    gauges = {
        "running": "Requests that hold a sequence now.",
        "waiting": "Requests in the engine's queue now.",
        "kv_cells_used": "KV cells in use now.",
        "kv_cells_total": "KV cells.",
    }
    counters = {
        "preemptions": "Times that a request gave its KV cells to others.",
        "computed_tokens": "Tokens that went through the model.",
        "backend_rows": "Outputs whose token was found where the logits were computed.",
        "step_seconds": "Time spent in steps of the engine.",
        "decode_seconds": "Time of it spent inside llama_decode.",
    }
    for field, text in gauges.items():
        gauge = GaugeMetricFamily(f"shimmy_{field}", text, labels=["model"])
        for name, stats in engines.items():
            gauge.add_metric([name], getattr(stats, field))
        yield gauge
    for field, text in counters.items():
        counter = CounterMetricFamily(f"shimmy_engine_{field}", text, labels=["model"])
        for name, stats in engines.items():
            counter.add_metric([name], getattr(stats, field))
        yield counter


class _Collected:
    """prometheus_client's way to take metrics from elsewhere."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        return self._families
