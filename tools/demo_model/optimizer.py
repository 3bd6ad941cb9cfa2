"""Muon for the matrices inside the layers, AdamW for the rest, and the learning rate schedule."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def orthogonalize(g: Tensor) -> Tensor:
    """Newton-Schulz iteration: the nearest semi-orthogonal matrices of a stack of matrices."""
    x = g.bfloat16() if g.is_cuda else g.float()
    flip = x.shape[-2] > x.shape[-1]
    if flip:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if flip else x


class Muon:
    """Momentum with orthogonalised updates for the matrices of the layers (K. Jordan's Muon)."""

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float = 0.95, decay: float = 0.02) -> None:
        self.lr, self.momentum, self.decay = lr, momentum, decay
        groups: dict[torch.Size, list[Tensor]] = {}
        for p in params:
            groups.setdefault(p.shape, []).append(p)
        self.groups = [(ps, torch.zeros(len(ps), *ps[0].shape, device=ps[0].device)) for ps in groups.values()]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        for params, buffer in self.groups:
            grad = torch.stack([p.grad for p in params if p.grad is not None])
            buffer.lerp_(grad, 1 - self.momentum)
            update = orthogonalize(grad.lerp(buffer, self.momentum))
            rows, cols = params[0].shape
            lr = self.lr * scale
            size = max(1.0, rows / cols) ** 0.5
            torch._foreach_mul_(params, 1 - lr * self.decay)
            torch._foreach_add_(params, list(update.to(params[0].dtype).unbind()), alpha=-lr * size)


class Optimizer:
    """Muon for the matrices inside the layers, AdamW for the rest."""

    def __init__(self, params: list[tuple[str, nn.Parameter]], muon_lr: float, adam_lr: float) -> None:
        inner = [p for n, p in params if p.dim() == 2 and n.startswith("blk.") and "lora" not in n]
        chosen = {id(p) for p in inner}
        rest = [p for _, p in params if id(p) not in chosen]
        self.params = inner + rest
        self.muon = Muon(inner, muon_lr) if inner else None
        self.adam = torch.optim.AdamW(rest, adam_lr, (0.9, 0.98), 1e-10, weight_decay=0.0, fused=rest[0].is_cuda)
        self.adam_lr = adam_lr

    def step(self, scale: float) -> None:
        nn.utils.clip_grad_norm_(self.params, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = self.adam_lr * scale
        self.adam.step()
        if self.muon:
            self.muon.step(scale)
        for p in self.params:
            p.grad = None


def schedule(progress: float, flat: float, warmup: float = 0.02) -> float:
    """Warm up, stay, then decay to (almost) zero."""
    if progress < warmup:
        return progress / warmup
    if progress < flat:
        return 1.0
    return max(0.01, 1 - (progress - flat) / (1 - flat)) if progress < 1 else 0.01
