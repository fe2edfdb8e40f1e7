"""Feeds a training from shards: in an order fixed by the seed, some shards in memory at a time.

All processes of a cluster walk through the same order, and each takes its own slice of every step: two processes
with a batch of b see what one process with a batch of 2b sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.forecast import HISTORY
from isthmus.loop.forecasting.frame import Floats, refill
from isthmus.loop.forecasting.inputs import EGO_MIRROR, OTHER_MIRROR, inputs_of
from isthmus.loop.forecasting.samples import Samples, joined
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.shards import Shards

BLOCK_SHARDS = 8
"""Shards that are in memory, and shuffled into each other, at a time."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The network's inputs, as `inputs.inputs_of` returns them, and the recorded future (n, HORIZON, 2)."""

    mine: Floats
    theirs: Floats
    speed: Floats
    future: Floats

    def __len__(self) -> int:
        return len(self.speed)

    def rows(self, rows: NDArray[np.intp] | slice) -> Batch:
        """Return some rows."""
        return Batch(self.mine[rows], self.theirs[rows], self.speed[rows], self.future[rows])


@dataclass(frozen=True, slots=True)
class Portion:
    """The samples of certain leak groups in a folder of shards, of which each epoch draws the share `share`."""

    shards: Shards
    groups: frozenset[str]
    share: float = 1.0

    def rows(self, shard: int) -> NDArray[np.intp]:
        """List the rows of a shard that belong to the groups."""
        names = self.shards.group_names
        wanted = np.array([name in self.groups for name in names], bool)
        return np.flatnonzero(wanted[self.shards.groups(shard)])

    def __len__(self) -> int:
        counts = self.shards.group_counts
        return sum(counts[name] for name in self.groups if name in counts)


class Feed:
    """Yields the batches of an epoch. One block of shards is kept, for tables that fit in one."""

    def __init__(self, portions: Sequence[Portion], settings: TrainSettings, world: int = 1) -> None:
        self.portions = tuple(portions)
        self.settings = settings
        self.world = world
        self._kept: tuple[list[tuple[int, int]], _Block] | None = None

    def batches(self, epoch: int, rank: int = 0) -> Iterator[Batch]:
        """Yield the slices that process `rank` takes of each step of an epoch, all of one size within a block."""
        draw = np.random.default_rng([self.settings.seed, epoch])
        units = [
            (number, shard)
            for number, portion in enumerate(self.portions)
            for shard in range(len(portion.shards.counts))
        ]
        order = [units[at] for at in draw.permutation(len(units))]
        for start in range(0, len(order), BLOCK_SHARDS):
            yield from self._block(sorted(order[start : start + BLOCK_SHARDS]), draw, rank)

    def steps(self) -> int:
        """About how many steps an epoch has."""
        wanted = sum(len(portion) * portion.share for portion in self.portions)
        return max(1, int(wanted / (self.settings.batch * self.world)))

    def _block(self, units: list[tuple[int, int]], draw: np.random.Generator, rank: int) -> Iterator[Batch]:
        if self._kept is None or self._kept[0] != units:
            self._kept = None  # let the last block go before the next one is loaded
            self._kept = (units, self._load(units))
        block = self._kept[1]
        rows = np.flatnonzero(draw.random(len(block.batch)) < block.share)
        draw.shuffle(rows)
        shown = self._shortened(block, rows, draw)
        mirrored = draw.random(len(rows)) < (0.5 if self.settings.mirror else 0.0)
        step = min(self.settings.batch * self.world, len(rows) // self.world * self.world)
        own = step // self.world
        for first in range(0, len(rows) - step + 1, step) if step else ():
            part = slice(first + rank * own, first + (rank + 1) * own)
            yield _mirrored(shown.rows(rows[part]), mirrored[part])

    def _load(self, units: list[tuple[int, int]]) -> _Block:
        samples, shares = [], []
        for number, shard in units:
            portion = self.portions[number]
            rows = portion.rows(shard)
            samples.append(portion.shards.take(shard, rows))
            shares.append(np.full(len(rows), portion.share))
        whole = joined(samples)
        return _Block(batch_of(whole), whole.seen, whole.size, np.concatenate(shares))

    def _shortened(self, block: _Block, rows: NDArray[np.intp], draw: np.random.Generator) -> Batch:
        """Cut the past of some of the rows, as of agents that have just come into view."""
        chosen = rows[draw.random(len(rows)) < self.settings.forget]
        cut = draw.integers(1, HISTORY, len(chosen))
        if not len(chosen):
            return block.batch
        seen = block.seen[chosen]
        seen[:, 0][np.arange(HISTORY) < cut[:, None]] = np.nan
        mine, theirs, _ = inputs_of(refill(seen), block.size[chosen])
        shown = Batch(block.batch.mine.copy(), block.batch.theirs.copy(), block.batch.speed, block.batch.future)
        shown.mine[chosen], shown.theirs[chosen] = mine, theirs
        return shown


@dataclass(frozen=True, slots=True)
class _Block:
    batch: Batch
    seen: Floats
    size: Floats
    share: NDArray[np.float64]


def in_order(portion: Portion, size: int = 4096) -> Iterator[Batch]:
    """Yield the samples of a portion once, unchanged, in their order."""
    for shard in range(len(portion.shards.counts)):
        rows = portion.rows(shard)
        for start in range(0, len(rows), size):
            yield batch_of(portion.shards.take(shard, rows[start : start + size]))


def batch_of(samples: Samples) -> Batch:
    """Make the network's inputs of samples."""
    return Batch(*inputs_of(samples.seen, samples.size), samples.future)


def _mirrored(batch: Batch, which: NDArray[np.bool_]) -> Batch:
    sign = np.where(which, np.float32(-1), np.float32(1))[:, None]
    return Batch(
        np.where(which[:, None], batch.mine * EGO_MIRROR, batch.mine),
        np.where(which[:, None, None], batch.theirs * OTHER_MIRROR, batch.theirs),
        batch.speed,
        np.stack([batch.future[..., 0], batch.future[..., 1] * sign], axis=-1),
    )
