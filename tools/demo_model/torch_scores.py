"""The model in PyTorch, scored on held-out cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch.nn import functional

from . import tokenizer as tokenization
from .heldout import MAX_NEW, eval_cases
from .model import Config, Model, generate
from .scoring import correct, table

STOPS = ("<|im_end|>", "<|endoftext|>")


def complete(model: Model, tok: Tokenizer, prompts: Sequence[str], batch: int = 0) -> list[str]:
    """Greedy completions of prompt texts."""
    stop = {tokenization.token_id(tok, t) for t in STOPS}
    ids = [e.ids for e in tok.encode_batch(list(prompts))]
    batch = batch or (512 if model.token_embd.weight.is_cuda else 32)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    out = [""] * len(ids)
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        for i, tokens in zip(part, generate(model, [ids[i] for i in part], stop, MAX_NEW), strict=True):
            out[i] = tok.decode(tokens, skip_special_tokens=False)
    return out


def evaluate_torch(model: Model, tok: Tokenizer, per_skill: int, style: str = "plain") -> dict[str, Any]:
    """Scores of a model, with two failures of each skill as examples."""
    cases = eval_cases(per_skill, style=style)
    texts = complete(model, tok, [c.prompt for c in cases])
    failures: dict[str, list[list[str]]] = {}
    for case, text in zip(cases, texts, strict=True):
        if not correct(case, text) and len(failures.setdefault(case.skill, [])) < 2:
            failures[case.skill].append([case.prompt[-200:], case.answer, text])
    return {"table": table(cases, texts), "failures": failures}


@torch.inference_mode()
def agreement(model: Model, draft: Model, tok: Tokenizer, per_skill: int) -> dict[str, float]:
    """How often the draft model predicts the token that the main model generates."""
    cases = eval_cases(max(1, per_skill // 4), seed=3)
    texts = complete(model, tok, [c.prompt for c in cases])
    end = tokenization.token_id(tok, "<|im_end|>")
    hits: dict[str, list[float]] = {}
    device = draft.token_embd.weight.device
    for case, text in zip(cases, texts, strict=True):
        prompt, answer = tok.encode(case.prompt).ids, [*tok.encode(text).ids, end]
        tokens = torch.tensor([[*prompt, *answer]], device=device)
        x = draft.token_embd(tokens)
        for block in draft.blk:
            x = block.forward(x, draft.rope[: tokens.shape[1]], causal)
        guess = draft.logits(draft.output_norm(x))[0, len(prompt) - 1 : -1].argmax(-1)
        hits.setdefault(case.skill, []).extend((guess == tokens[0, len(prompt) :]).float().tolist())
    everything = [h for group in hits.values() for h in group]
    out = {skill: round(100 * sum(h) / len(h), 1) for skill, h in hits.items()}
    return {"all": round(100 * sum(everything) / len(everything), 1), **out}


def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def load_gguf(path: Path, lora: Path | None = None) -> Model:
    """The PyTorch model of a GGUF file (dequantised), with a LoRA adapter merged into it on request."""
    import gguf

    reader = gguf.GGUFReader(path)

    def meta(key: str) -> Any:
        return reader.fields[f"llama.{key}"].contents()

    cfg = Config(
        dim=meta("embedding_length"),
        layers=meta("block_count"),
        heads=meta("attention.head_count"),
        kv_heads=meta("attention.head_count_kv"),
        head_dim=meta("rope.dimension_count"),
        ffn=meta("feed_forward_length"),
        vocab=meta("vocab_size"),
        context=meta("context_length"),
        rope_theta=meta("rope.freq_base"),
        eps=meta("attention.layer_norm_rms_epsilon"),
    )
    weights = {t.name: torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).copy()) for t in reader.tensors}
    if lora:
        adapter = gguf.GGUFReader(lora)
        alpha = adapter.fields["adapter.lora.alpha"].contents()
        low = {t.name: torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).copy()) for t in adapter.tensors}
        for name in {n.removesuffix(".lora_a").removesuffix(".lora_b") for n in low}:
            a, b = low[name + ".lora_a"], low[name + ".lora_b"]
            weights[name] += alpha / a.shape[0] * (b @ a)
    model = Model(cfg)
    model.load_state_dict(weights)
    return model.eval()
