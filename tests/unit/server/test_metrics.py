"""GET /metrics in both forms."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from shimmy.server.metrics import Histogram
from shimmy.settings import Settings


def samples(server: Any) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(server.http.get("/metrics").text)
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_what_prometheus_reads(start_server: Any) -> None:
    with start_server() as server:
        assert samples(server) == {}
        server.chat("hello there")
        server.chat("hello there you", stream=True)
        server.chat("count 9", max_tokens=3)
        server.chat("break")
        found = samples(server)
        assert found["shimmy_requests_total", "m", "stop"] == 2
        assert found["shimmy_requests_total", "length", "m"] == 1
        assert found["shimmy_requests_total", "error", "m"] == 1
        assert found["shimmy_completion_tokens_total", "m"] == 9  # the one that broke had one
        assert found["shimmy_time_to_first_token_seconds_count", "m"] == 4
        assert found["shimmy_inter_token_seconds_count", "m"] > 3
        assert found["shimmy_time_to_first_token_seconds_bucket", "+Inf", "m"] == 4


def test_engine_counters_of_what_is_loaded(start_server: Any) -> None:
    with start_server() as server:
        server.chat("hi")
        assert samples(server)["shimmy_running", "m"] == 0
        server.http.post("/api/models/m/unload")
        found = samples(server)
        assert ("shimmy_running", "m") not in found
        assert found["shimmy_requests_total", "m", "stop"] == 1


def test_the_json_form(server: Any) -> None:
    found = server.http.get("/metrics", headers={"accept": "application/json"}).json()
    assert found["service"] == "shimmy"
    assert found["models"] == {
        "total_count": 3,
        "total_size_mb": 0,
        "by_type": {"discovered": 2, "manual": 1, "chat": 3},
    }
    assert set(found) >= {"version", "gpu_detected", "gpu_vendor", "system", "features", "endpoints", "timestamp"}
    assert found["gpu_detected"] is bool(found["gpu_vendor"])
    assert found["gpu_used"] == []
    assert found["system"]["memory_total_mb"] >= found["system"]["memory_available_mb"] > 0
    assert {"/health", "/metrics", "/v1/chat/completions", "/api/models"} <= set(found["endpoints"])
    assert isinstance(found["features"]["huggingface"], bool)


def test_a_histogram() -> None:
    histogram = Histogram()
    for seconds in (0.0005, 0.001, 0.3, 100.0):
        histogram.observe(seconds)
    rows = dict(histogram.buckets())
    assert (rows["0.001"], rows["0.25"], rows["0.5"], rows["60.0"], rows["+Inf"]) == (2, 2, 3, 3, 4)
    assert histogram.sum == 100.3015


def test_refusals_by_their_limit(start_server: Any) -> None:
    settings = Settings(bind="127.0.0.1:0", requests_per_minute=4, key_concurrent_requests=1, max_sessions=1)
    with start_server(settings) as server:
        with server.http.stream("POST", "/api/generate", json={"model": "m", "prompt": "slow 100000"}) as running:
            lines = running.iter_lines()
            next(lines)
            assert server.chat("hi").status_code == 429
        server.wait_until(lambda: server.engine.running == 0)
        assert server.chat("refuse QueueFullError").status_code == 429
        message = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
        for session, status in (("a", 200), ("b", 429), ("b", 429)):
            answer = server.http.post("/v1/messages", json={**message, "session_id": session})
            assert answer.status_code == status
        refused = {key[1]: value for key, value in samples(server).items() if key[0].startswith("shimmy_refused")}
        assert refused == {
            "key_concurrent_requests": 1,
            "max_waiting": 1,
            "max_sessions": 1,
            "requests_per_minute": 1,
        }
