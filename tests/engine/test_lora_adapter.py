"""LoraAdapter: applied, scaled, replaced and removed on a live context, and only on the model it was loaded for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import numpy as np
import pytest
from token_loop import GOLDEN, PROMPT, Logits, golden, open_context, prefill

from shimmy import demo_adapter_paths, demo_draft_path, demo_model_path
from shimmy._core import Context, LoraAdapter, Model
from shimmy.errors import InvalidRequestError, ModelLoadError

PIRATE = demo_adapter_paths()["pirate"]


def logits_with(context: Context, *adapters: tuple[LoraAdapter, float]) -> Logits:
    context.kv_cache.clear()
    context.set_adapters(list(adapters))
    return prefill(context, PROMPT)


def test_on_off_on_restores_the_logits_exactly(pirate: LoraAdapter) -> None:
    context = open_context()
    off = logits_with(context)
    on = logits_with(context, (pirate, 1.0))
    assert np.abs(on - off).max() > 0.5
    assert (logits_with(context) == off).all()
    assert (logits_with(context, (pirate, 1.0)) == on).all()


def test_an_adapter_changes_the_answer_and_leaves_with_it(pirate: LoraAdapter, terse: LoraAdapter) -> None:
    context = open_context()
    context.set_adapters([(pirate, 1.0)])
    assert golden(context).startswith("Arr,")
    context.kv_cache.clear()
    context.set_adapters([(terse, 1.0)])
    assert golden(context) not in (GOLDEN, "")
    context.kv_cache.clear()
    context.set_adapters([])
    assert golden(context) == GOLDEN


def test_scale_0_is_off_and_scales_grade(pirate: LoraAdapter) -> None:
    context = open_context()
    off = logits_with(context)
    assert (logits_with(context, (pirate, 0.0)) == off).all()
    distances = [np.abs(logits_with(context, (pirate, scale)) - off).mean() for scale in (0.01, 0.1, 0.5, 1.0)]
    assert distances == sorted(distances)
    assert np.abs(logits_with(context, (pirate, -1.0)) - off).max() > 0.1


def test_adapters_add_up_in_any_order(pirate: LoraAdapter, terse: LoraAdapter) -> None:
    context = open_context()
    both = logits_with(context, (pirate, 0.5), (terse, 0.5))
    assert np.abs(both - logits_with(context, (pirate, 0.5))).max() > 1
    assert np.abs(both - logits_with(context, (terse, 0.5))).max() > 1
    np.testing.assert_allclose(logits_with(context, (terse, 0.5), (pirate, 0.5)), both, atol=0.5)


def test_contexts_of_one_model_have_their_own_adapters(pirate: LoraAdapter) -> None:
    plain, adapted = open_context(), open_context()
    adapted.set_adapters([(pirate, 1.0)])
    assert golden(plain) == GOLDEN
    assert golden(adapted).startswith("Arr,")


def test_adapters_that_do_not_belong_are_refused_and_change_nothing(pirate: LoraAdapter) -> None:
    context = open_context()
    on = logits_with(context, (pirate, 1.0))
    foreign = LoraAdapter(Model(demo_model_path()), PIRATE)
    for adapters, says in [
        ([(foreign, 1.0)], "another model object"),
        ([(pirate, 1.0), (foreign, 1.0)], "another model object"),
        ([(pirate, 1.0), (pirate, 0.5)], "named twice"),
        ([(None, 1.0)], "holds None"),
        ([(pirate, float("nan"))], "not a finite number"),
        ([(pirate, float("inf"))], "not a finite number"),
        ([(pirate, 1e300)], "not a finite number"),
    ]:
        with pytest.raises(InvalidRequestError, match=says) as caught:
            context.set_adapters(adapters)  # type: ignore[arg-type]
        assert caught.value.param == "adapters"
    context.kv_cache.clear()
    assert (prefill(context, PROMPT) == on).all()
    for wrong in (None, [pirate], [("pirate", 1.0)], 5):
        with pytest.raises(TypeError):
            context.set_adapters(wrong)  # type: ignore[arg-type]


def test_metadata_says_what_it_is(pirate: LoraAdapter, model: Model) -> None:
    assert pirate.path == str(PIRATE)
    assert pirate.model is model
    assert pirate.metadata["general.type"] == "adapter"
    assert pirate.metadata["adapter.type"] == "lora"
    assert float(pirate.metadata["adapter.lora.alpha"]) == 16
    assert pirate.invocation_tokens == []


def test_long_metadata_is_whole(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    reader = gguf.GGUFReader(PIRATE)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    writer.add_string("general.description", "é" * 20_000)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    adapter = LoraAdapter(model, path)
    assert adapter.metadata["general.description"] == "é" * 20_000
    assert (logits_with(open_context(), (adapter, 1.0)) != logits_with(open_context())).any()


def test_a_model_is_no_adapter_and_an_adapter_no_model(model: Model) -> None:
    with pytest.raises(ModelLoadError, match=demo_model_path().name):
        LoraAdapter(model, demo_model_path())
    with pytest.raises(ModelLoadError, match="is a LoRA adapter, not a model"):
        Model(PIRATE)
    with pytest.raises(ModelLoadError, match="does not exist"):
        LoraAdapter(model, "/nowhere.gguf")


def test_an_adapter_of_another_shape_is_refused(model: Model) -> None:
    draft = Model(demo_draft_path())
    with pytest.raises(ModelLoadError, match=PIRATE.name):
        LoraAdapter(draft, PIRATE)
    assert golden(open_context(model)) == GOLDEN


def test_threads_load_adapters_of_one_model(model: Model) -> None:
    def load_and_drop(n: int) -> str:
        return LoraAdapter(model, list(demo_adapter_paths().values())[n % 2]).metadata["adapter.type"]

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(load_and_drop, range(32))) == {"lora"}
