"""Devices that are not the CPU, on any machine: an RPC server offers this one's CPU as two of them.

Needs a build with SHIMMY_RPC=ON, and SHIMMY_RPC_SERVER: the path of its shimmy-rpc-server.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import socket
import subprocess
import time
from contextlib import closing
from typing import Any

import pytest

from shimmy import LLM, GenerateRequest, LoadSpec, Placement, _core, demo_draft_path, demo_model_path
from shimmy.errors import EngineDeadError, InvalidRequestError, ModelLoadError
from shimmy.model_info import ModelInfo
from shimmy.runner import RunnerClient

SERVER = os.environ.get("SHIMMY_RPC_SERVER", "")
PATH = str(demo_model_path())
N_LAYER = 10
PROMPT = "Once upon a time"

pytestmark = pytest.mark.skipif(
    not SERVER or "RPC" not in _core.build_info()["backends"], reason="needs SHIMMY_RPC=ON and SHIMMY_RPC_SERVER"
)


def start_server() -> tuple[subprocess.Popen[bytes], str]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([SERVER, f"127.0.0.1:{port}", "2"], stdout=subprocess.DEVNULL)
    atexit.register(process.wait)
    atexit.register(process.kill)
    for _ in range(100):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"127.0.0.1:{port}"
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the RPC server does not listen")


@pytest.fixture(scope="module")
def endpoint() -> str:
    """Ends with this process only: llama.cpp aborts when a connection that it still has breaks."""
    return start_server()[1]


@pytest.fixture(scope="module")
def names(endpoint: str) -> list[str]:
    return [device.name for device in _core.devices([endpoint]) if device.backend == "RPC"]


@pytest.fixture(scope="module")
def expected() -> str:
    with LLM(PATH, placement=Placement(gpu_backend="cpu")) as llm:
        assert (llm.info.devices, llm.info.n_gpu_layers) == (["CPU"], 0)
        return llm.generate(PROMPT, max_tokens=24, temperature=0).text


def loaded(expected: str, endpoint: str, **options: Any) -> ModelInfo:
    """What the model says of itself; its answer has to be that of the CPU."""
    with LLM(PATH, placement=Placement(rpc=(endpoint,), **options)) as llm:
        assert llm.generate(PROMPT, max_tokens=24, temperature=0).text == expected
        return llm.info


def weights(info: ModelInfo) -> dict[str, int]:
    return {use.name: use.weights for use in info.memory}


def test_they_are_listed(endpoint: str, names: list[str]) -> None:
    assert len(names) == 2
    found = {device.name: device for device in _core.devices([endpoint])}
    assert {(found[name].type, found[name].description) for name in names} == {("gpu", endpoint)}
    assert all(found[name].memory_total > 0 for name in names)
    assert _core.build_info()["backends"].count("RPC") == 1


@pytest.mark.parametrize("layers", ["auto", "all", 99])
def test_every_layer_is_put_there(expected: str, endpoint: str, names: list[str], layers: Any) -> None:
    info = loaded(expected, endpoint, gpu_layers=layers)
    assert (info.devices, info.backend) == (names, "RPC")
    assert (info.n_gpu_layers, info.n_layer, info.n_partial_layers) == (N_LAYER + 1, N_LAYER, 0)
    assert [use.name for use in info.memory] == [*names, "CPU"]
    assert all(use.weights > 0 and use.kv_cache > 0 and use.compute > 0 for use in info.memory[:2])
    assert info.memory[2].kv_cache == 0


@pytest.mark.parametrize("layers", [0, 1, 4])
def test_as_many_layers_as_were_asked_for(expected: str, endpoint: str, layers: int) -> None:
    info = loaded(expected, endpoint, gpu_layers=layers)
    assert info.n_gpu_layers == layers
    assert (info.backend == "CPU") == (layers == 0)
    assert (sum(weights(info).values()) - weights(info)["CPU"] > 0) == (layers > 0)


def test_devices_are_chosen(expected: str, endpoint: str, names: list[str]) -> None:
    assert loaded(expected, endpoint, devices=(names[1],)).devices == [names[1]]
    assert loaded(expected, endpoint, split_mode="none", main_gpu=1).devices == [names[1]]
    assert loaded(expected, endpoint, gpu_backend="rpc").devices == names
    assert loaded(expected, endpoint, gpu_backend="cpu").devices == ["CPU"]


def test_shares_of_devices(expected: str, endpoint: str, names: list[str]) -> None:
    most = weights(loaded(expected, endpoint, tensor_split=(3, 1)))
    assert most[names[0]] > 2 * most[names[1]] > 0
    alone = weights(loaded(expected, endpoint, tensor_split=(0, 1)))
    assert alone[names[0]] == 0 < alone[names[1]]


def test_weights_and_cache_stay_where_they_are_told(expected: str, endpoint: str) -> None:
    info = loaded(expected, endpoint, override_tensor=(r"blk\.[0-3]\.ffn=CPU",))
    assert (info.n_gpu_layers, info.n_partial_layers) == (N_LAYER + 1, 4)
    info = loaded(expected, endpoint, kv_offload=False)
    assert [use.kv_cache > 0 for use in info.memory] == [False, False, True]
    half = loaded(expected, endpoint, gpu_layers="all")
    with LLM(PATH, placement=Placement(rpc=(endpoint,), cache_type_k="q8_0", cache_type_v="q8_0")) as llm:
        assert llm.generate(PROMPT, max_tokens=4, temperature=0).text
        assert 0 < llm.info.memory[0].kv_cache < half.memory[0].kv_cache


def test_layers_that_fit(endpoint: str, names: list[str]) -> None:
    (free,) = {device.memory_free >> 20 for device in _core.devices([endpoint]) if device.name == names[0]}

    def fit(room_mib: int, **options: Any) -> _core.EngineFit:
        model = _core.ModelParams(devices=names[:1], gpu_margin_mib=max(0, free - room_mib), **options)
        return _core.fit_engine(PATH, model, _core.ContextParams(n_ctx=1 << 18))  # 1.3 GiB of cells

    some = fit(800)
    assert some.fits
    assert 1 < some.n_gpu_layers < N_LAYER
    assert some.n_ctx == 1 << 18
    assert 0 < some.memory[0].kv_cache < 800 << 20
    none = fit(0)
    assert (none.fits, none.n_gpu_layers) == (False, 0)
    assert fit(0, n_gpu_layers=-2).memory == []  # nothing to find out


def test_no_room_is_the_cpu_when_nobody_chose_and_an_error_otherwise(expected: str, endpoint: str) -> None:
    assert loaded(expected, endpoint, gpu_margin_mib=1 << 24).devices == ["CPU"]
    with pytest.raises(ModelLoadError, match=r"not one layer of shimmy-mini fits on RPC\d+ \(\d+ of \d+ MiB free\)"):
        loaded(expected, endpoint, gpu_margin_mib=1 << 24, gpu_backend="rpc")


def test_a_draft_goes_there_too(expected: str, endpoint: str, names: list[str]) -> None:
    spec = LoadSpec(name="m", path=PATH, draft=str(demo_draft_path()), model={"rpc_servers": [endpoint]})
    with LLM(spec) as llm:
        assert llm.generate(PROMPT, max_tokens=24, temperature=0).text == expected
        assert llm.info.devices == names


def test_matrices_are_split_between_devices(expected: str, endpoint: str, names: list[str]) -> None:
    info = loaded(expected, endpoint, split_mode="tensor")
    assert (info.devices, info.backend, info.n_gpu_layers) == (names, "RPC", N_LAYER + 1)
    whole = loaded(expected, endpoint, split_mode="layer")
    first, second, host = info.memory
    assert (first.weights, first.kv_cache) == (second.weights, second.kv_cache)
    assert first.kv_cache == sum(use.kv_cache for use in whole.memory) / 2
    assert host.kv_cache == 0
    with pytest.raises(ModelLoadError, match="SPLIT_MODE_TENSOR requires flash_attn"):
        loaded(expected, endpoint, split_mode="tensor", flash_attn="off")


def test_rows_are_split_by_no_backend_of_ours(expected: str, endpoint: str) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"split_mode is 'row', and the backend RPC of RPC\d+ cannot"
    ) as caught:
        loaded(expected, endpoint, split_mode="row")
    assert caught.value.param == "split_mode"
    for mode in ("row", "tensor"):  # nothing to split
        assert loaded(expected, endpoint, split_mode=mode, gpu_backend="cpu").devices == ["CPU"]


def test_servers_that_are_not_there() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ModelLoadError, match=re.escape(endpoint) + " does not answer"):
            LLM(PATH, placement=Placement(rpc=(endpoint,)))
    for wrong in ("localhost", ":5", "host:port", "host:99999"):
        with pytest.raises(InvalidRequestError, match=r"is no host:port"):
            LLM(PATH, placement=Placement(rpc=(wrong,)))


def test_a_device_that_is_lost_ends_its_process_with_the_reason() -> None:
    process, endpoint = start_server()

    async def body() -> None:
        spec = Placement(rpc=(endpoint,)).onto(LoadSpec(name="m", path=PATH))
        client = await RunnerClient.start(spec)
        try:
            assert client.info.n_gpu_layers == N_LAYER + 1
            with pytest.raises(EngineDeadError, match=r"SIGABRT \(.*RPC server crashed"):
                async with client.stream(GenerateRequest(request_id="1", prompt=PROMPT, max_tokens=500)) as stream:
                    async for output in stream:
                        if output.text:
                            process.kill()
            assert not client.alive
        finally:
            await client.close()
        with pytest.raises(ModelLoadError, match=re.escape(endpoint) + " does not answer"):
            await RunnerClient.start(spec)

    asyncio.run(body())
    process.wait()


def test_a_budget_holds_what_is_put_there(expected: str, endpoint: str) -> None:
    """As many layers as fit within it; layers that were asked for are refused by what they took."""

    def load(limit: int | None, **model: Any) -> ModelInfo:
        context = {"n_ctx": 1024}
        spec = LoadSpec(
            name="m", path=PATH, vram_limit=limit, context=context, model={"rpc_servers": [endpoint], **model}
        )
        with LLM(spec) as llm:
            assert llm.generate(PROMPT, max_tokens=24, temperature=0).text == expected
            return llm.info

    whole = load(None)
    limit = whole.vram_bytes // 2
    part = load(limit)
    assert 0 < part.n_gpu_layers < whole.n_gpu_layers == N_LAYER + 1
    assert part.vram_bytes <= limit == part.vram_limit
    assert load(limit, n_gpu_layers=part.n_gpu_layers).vram_bytes == part.vram_bytes
    with pytest.raises(
        ModelLoadError, match=r"m takes .* MiB of GPU memory \(RPC0 .*, RPC1 .*\), and .* are left of the"
    ):
        load(limit, n_gpu_layers=-2)
    assert load(0).n_gpu_layers == 0
