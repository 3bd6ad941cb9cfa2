"""The training data: documents packed into rows, written by worker processes and read back as batches."""

from __future__ import annotations

import multiprocessing as mp
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from . import tokenizer as tokenization
from .corpus import training_texts

PAD, CONTEXT, TARGET = 0, 1, 2  # token classes
CONTEXT_WEIGHT = 0.1


def pack(
    docs: Iterator[list[int]], rows: int, width: int, pad: int, open_rows: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Pack documents into rows; returns the tokens and the number of the document (from 1, 0 = padding)."""
    tokens = np.full((rows, width), pad, np.uint16)
    ids = np.zeros((rows, width), np.uint8)
    used, count = [0] * rows, [0] * rows
    active = list(range(min(open_rows, rows)))
    fresh = len(active)
    while active:
        doc = next(docs)[:width]
        fits = [r for r in active if used[r] + len(doc) <= width and count[r] < 255]
        if fits:
            row = max(fits, key=used.__getitem__)
        else:
            active.remove(max(active, key=used.__getitem__))
            if fresh >= rows:
                continue
            row, fresh = fresh, fresh + 1
            active.append(row)
        count[row] += 1
        tokens[row, used[row] : used[row] + len(doc)] = doc
        ids[row, used[row] : used[row] + len(doc)] = count[row]
        used[row] += len(doc)
    return tokens, ids


def classes(tokens: np.ndarray, ids: np.ndarray, tok: Tokenizer) -> np.ndarray:
    """The class of each token: assistant answers and plain documents are targets, the rest is context."""
    im_start, im_end, assistant = (tokenization.token_id(tok, t) for t in ("<|im_start|>", "<|im_end|>", "assistant"))
    index = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    opens = (tokens == im_start) & (np.roll(tokens, -1, 1) == assistant)
    last_open = np.maximum.accumulate(np.where(opens, index, -1), 1)
    last_end = np.maximum.accumulate(np.where(tokens == im_end, index, -1), 1)
    last_end = np.concatenate((np.full_like(last_end[:, :1], -1), last_end[:, :-1]), 1)
    answer = (last_open >= 0) & (index >= last_open + 3) & (last_end < last_open)
    starts = np.concatenate((np.ones_like(ids[:, :1], bool), ids[:, 1:] != ids[:, :-1]), 1)
    first = np.maximum.accumulate(np.where(starts, index, 0), 1)
    plain = np.take_along_axis(tokens, first, 1) != im_start
    out = np.where(answer | plain, TARGET, CONTEXT)
    return np.where(ids == 0, PAD, out).astype(np.uint8)


def write_shards(
    folder: str, tokenizer: str, style: str, seed: int, first: int, step: int, count: int, rows: int, width: int
) -> None:
    """Worker process: write every ``step``-th shard; a shard depends only on the seed and its number."""
    os.nice(5)
    tok = tokenization.load(tokenizer)
    end = tokenization.token_id(tok, "<|endoftext|>")
    for shard in range(first, count, step):

        def documents(shard: int = shard) -> Iterator[list[int]]:
            texts = training_texts(seed * 1_000_003 + shard, style)
            while True:
                for text in (next(texts) for _ in range(64)):
                    ids = tok.encode(text).ids
                    yield ids if text.startswith("<|im_start|>") else [*ids, end]

        tokens, ids = pack(documents(), rows, width, end)
        path = Path(folder) / f"{style}-{shard:05d}.npz"
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, tokens=tokens, ids=ids, classes=classes(tokens, ids, tok))
        part.rename(path)


class Corpus:
    """A stream of batches on the device, fed by worker processes; it repeats when all shards were seen."""

    def __init__(
        self,
        tokenizer: str,
        style: str,
        shards: int,
        workers: int,
        batch: int,
        width: int,
        device: str,
        rows: int = 1024,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="corpus-"))
        self.style, self.shards, self.batch, self.device = style, shards, batch, device
        ctx = mp.get_context("spawn")
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self.workers = [
            ctx.Process(
                target=write_shards,
                args=(str(self.folder), tokenizer, style, 7, i, workers, shards, rows, width),
                daemon=True,
            )
            for i in range(min(workers, shards))
        ]
        for worker in self.workers:
            worker.start()
        self.waited = 0.0
        self.tokens = 0
        self._queue: queue.Queue[dict[str, Tensor]] = queue.Queue(4)
        self._closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        shard = 0
        while not self._closed:
            path = self.folder / f"{self.style}-{shard % self.shards:05d}.npz"
            while not path.exists() and not self._closed:
                time.sleep(0.02)
            if self._closed:
                return
            with np.load(path) as data:
                arrays = {
                    k: torch.from_numpy(data[k].astype(np.int32)).to(self.device) for k in ("tokens", "ids", "classes")
                }
            self._queue.put(arrays)
            shard += 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Batches of inputs, document numbers, labels and label weights."""
        gen = torch.Generator().manual_seed(0)
        while True:
            start = time.time()
            data = self._queue.get()
            self.waited += time.time() - start
            order = torch.randperm(len(data["tokens"]), generator=gen).to(self.device)
            for part in order.split(self.batch):
                if len(part) < self.batch:
                    continue
                tokens, ids, cls = data["tokens"][part], data["ids"][part], data["classes"][part]
                same = ids[:, 1:] == ids[:, :-1]
                weight = torch.where(cls[:, 1:] == TARGET, 1.0, CONTEXT_WEIGHT) * (same & (cls[:, 1:] != PAD))
                labels = functional.pad(tokens[:, 1:].long(), (0, 1))
                self.tokens += tokens.numel()
                yield tokens.long(), ids, labels, functional.pad(weight, (0, 1))

    def close(self) -> None:
        self._closed = True
        while not self._queue.empty():
            self._queue.get()
        for worker in self.workers:
            worker.terminate()
        shutil.rmtree(self.folder, ignore_errors=True)
