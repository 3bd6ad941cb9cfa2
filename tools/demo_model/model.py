"""The network: a small Llama (RMSNorm, SwiGLU, rotary positions, grouped-query attention, tied embeddings).

Rotary embeddings rotate neighbouring pairs of channels, which is what llama.cpp's ``llama`` architecture does, so the
query and key weights need no permutation on export.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, flex_attention

LORA_TARGETS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
Mask = Tensor | BlockMask | Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Config:
    """Shape of a model."""

    dim: int = 256
    layers: int = 10
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ffn: int = 1024
    vocab: int = 4096
    context: int = 2048
    rope_theta: float = 10000.0
    eps: float = 1e-5

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


MAIN = Config()
DRAFT = Config(layers=2, ffn=512)
TINY = Config(dim=64, layers=2, heads=2, kv_heads=1, head_dim=32, ffn=128)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation, computed in single precision."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        h = x.float()
        return (h * torch.rsqrt(h.square().mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


class LoraLinear(nn.Module):
    """A frozen linear layer with a trainable low-rank update."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.weight = base.weight
        self.weight.requires_grad_(False)
        self.scale = alpha / rank
        self.lora_a = nn.Parameter(torch.empty(rank, base.in_features, device=self.weight.device))
        self.lora_b = nn.Parameter(torch.empty(base.out_features, rank, device=self.weight.device))
        self.reset()

    def reset(self) -> None:
        nn.init.normal_(self.lora_a, std=self.lora_a.shape[1] ** -0.5)
        nn.init.zeros_(self.lora_b)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight) + self.scale * functional.linear(
            functional.linear(x, self.lora_a), self.lora_b
        )


def rope_table(cfg: Config) -> Tensor:
    """Cosines and sines, shape (context, head_dim / 2, 2)."""
    freq = cfg.rope_theta ** (-torch.arange(0, cfg.head_dim, 2, dtype=torch.float64) / cfg.head_dim)
    angle = torch.arange(cfg.context, dtype=torch.float64)[:, None] * freq
    return torch.stack((angle.cos(), angle.sin()), -1).float()


def rotate(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate neighbouring channel pairs of ``x`` (batch, time, heads, head_dim) by ``rope`` (time, head_dim / 2, 2)."""
    pairs = x.float().unflatten(-1, (-1, 2))
    cos, sin = rope[..., None, :, 0], rope[..., None, :, 1]
    a, b = pairs[..., 0], pairs[..., 1]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).to(x.dtype)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """Grouped-query attention; the mask is a FlexAttention block mask, a boolean tensor or a function."""
    if isinstance(mask, BlockMask):
        return flex_attention(q, k, v, block_mask=mask, enable_gqa=True)  # type: ignore[return-value]
    if isinstance(mask, Tensor):
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
    return mask(q, k, v)


class Block(nn.Module):
    """One transformer layer; the attributes are named after the GGUF tensors."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        self.attn_norm = RMSNorm(cfg.dim, cfg.eps)
        self.attn_q = nn.Linear(cfg.dim, cfg.heads * cfg.head_dim, bias=False)
        self.attn_k = nn.Linear(cfg.dim, cfg.kv_heads * cfg.head_dim, bias=False)
        self.attn_v = nn.Linear(cfg.dim, cfg.kv_heads * cfg.head_dim, bias=False)
        self.attn_output = nn.Linear(cfg.heads * cfg.head_dim, cfg.dim, bias=False)
        self.ffn_norm = RMSNorm(cfg.dim, cfg.eps)
        self.ffn_gate = nn.Linear(cfg.dim, cfg.ffn, bias=False)
        self.ffn_up = nn.Linear(cfg.dim, cfg.ffn, bias=False)
        self.ffn_down = nn.Linear(cfg.ffn, cfg.dim, bias=False)

    def forward(self, x: Tensor, rope: Tensor, mask: Mask) -> Tensor:
        b, t, _ = x.shape
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(b, t, self.cfg.heads, -1), rope).transpose(1, 2)
        k = rotate(self.attn_k(h).view(b, t, self.cfg.kv_heads, -1), rope).transpose(1, 2)
        v = self.attn_v(h).view(b, t, self.cfg.kv_heads, -1).transpose(1, 2)
        x = x + self.attn_output(attention(q, k, v, mask).transpose(1, 2).reshape(b, t, -1))
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Model(nn.Module):
    """The language model; ``forward`` returns the final hidden states, ``logits`` applies the tied output layer."""

    rope: Tensor

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        self.token_embd = nn.Embedding(cfg.vocab, cfg.dim)
        self.blk = nn.ModuleList(Block(cfg) for _ in range(cfg.layers))
        self.output_norm = RMSNorm(cfg.dim, cfg.eps)
        self.register_buffer("rope", rope_table(cfg), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                std = 0.02 if "token_embd" in name else p.shape[1] ** -0.5
                nn.init.normal_(p, std=std)
                if "attn_output" in name or "ffn_down" in name:
                    with torch.no_grad():
                        p.mul_((2 * cfg.layers) ** -0.5)

    def forward(self, tokens: Tensor, mask: Mask) -> Tensor:
        x = self.token_embd(tokens)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        rope = self.rope[: tokens.shape[1]]
        for block in self.blk:
            x = block(x, rope, mask)
        return self.output_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.token_embd.weight.to(hidden.dtype))

    def add_lora(self, rank: int = 8, alpha: float = 16.0) -> list[nn.Parameter]:
        """Freeze the model and put low-rank updates on all linear layers; returns the trainable parameters."""
        self.requires_grad_(False)
        out: list[nn.Parameter] = []
        for block in self.blk:
            for name in LORA_TARGETS:
                layer = LoraLinear(getattr(block, name), rank, alpha)
                setattr(block, name, layer)
                out += [layer.lora_a, layer.lora_b]
        return out

    def lora_layers(self) -> list[LoraLinear]:
        return [m for m in self.modules() if isinstance(m, LoraLinear)]


@torch.inference_mode()
def generate(model: Model, prompts: Sequence[Sequence[int]], stop: set[int], max_new: int = 256) -> list[list[int]]:
    """Greedy decoding of a batch with a key/value cache; prompts are padded on the right and decoded in lockstep."""
    cfg, device = model.cfg, model.token_embd.weight.device
    n = len(prompts)
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    longest = int(lengths.max())
    total = min(longest + max_new, cfg.context)
    tokens = torch.zeros(n, longest, dtype=torch.long, device=device)
    for i, p in enumerate(prompts):
        tokens[i, : len(p)] = torch.tensor(p, device=device)
    shape = (n, cfg.kv_heads, total, cfg.head_dim)
    cache = [(torch.zeros(shape, device=device), torch.zeros(shape, device=device)) for _ in model.blk]
    rows = torch.arange(n, device=device)

    # Prompt: ordinary causal attention, keys and values are stored.
    x = model.token_embd(tokens)
    for block, (ck, cv) in zip(model.blk, cache, strict=True):

        def store(q: Tensor, k: Tensor, v: Tensor, ck: Tensor = ck, cv: Tensor = cv) -> Tensor:
            ck[:, :, :longest], cv[:, :, :longest] = k, v
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

        x = block.forward(x, model.rope[:longest], store)
    last = model.output_norm(x)[rows, lengths - 1]
    position = lengths.clone()
    done = torch.zeros(n, dtype=torch.bool, device=device)
    stops = torch.tensor(sorted(stop), device=device)
    out: list[Tensor] = []
    slots = torch.arange(total, device=device)
    for step in range(max_new):
        token = model.logits(last).argmax(-1)
        done |= torch.isin(token, stops) | (position >= total)
        out.append(torch.where(done, -1, token))
        if step % 8 == 7 and bool(done.all()):
            break
        where = position.clamp(max=total - 1)
        mask = (slots[None] <= where[:, None])[:, None, None]
        x = model.token_embd(token)[:, None]
        rope = model.rope[where][:, None]
        for block, (ck, cv) in zip(model.blk, cache, strict=True):

            def extend(
                q: Tensor,
                k: Tensor,
                v: Tensor,
                ck: Tensor = ck,
                cv: Tensor = cv,
                where: Tensor = where,
                mask: Tensor = mask,
            ) -> Tensor:
                ck[rows, :, where], cv[rows, :, where] = k[:, :, 0], v[:, :, 0]
                return functional.scaled_dot_product_attention(q, ck, cv, attn_mask=mask, enable_gqa=True)

            x = block.forward(x, rope, extend)
        last = model.output_norm(x)[:, 0]
        position += 1
    columns = torch.stack(out, 1).tolist()
    return [row[: row.index(-1)] if -1 in row else row for row in columns]
