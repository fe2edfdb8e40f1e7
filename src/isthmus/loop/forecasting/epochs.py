"""The state of one training in PyTorch, an epoch at a time."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from isthmus.core.errors import RunFailed
from isthmus.loop.forecasting import checkpoint, release
from isthmus.loop.forecasting.feed import Batch, Feed, Portion, in_order
from isthmus.loop.forecasting.job import EpochCurve, Team, Trained, TrainJob, cost, must_be_finite, note_so_far
from isthmus.loop.forecasting.loss import loss_of, watched
from isthmus.loop.forecasting.model import Network
from isthmus.loop.forecasting.shards import Shards

WARM_UP = 100
"""Steps in which the learning rate rises."""
CLIP = 5.0
"""Greatest norm of a gradient."""


class Training:
    """Everything that one training holds. Made anew, it carries on after the last epoch that was stored."""

    def __init__(self, job: TrainJob, team: Team) -> None:
        torch.set_num_threads(1)
        self.job, self.team, self.settings = job, team, job.settings
        if self.settings.device == "cuda" and not torch.cuda.is_available():
            raise RunFailed("this machine has no CUDA device", "set device = 'cpu'")
        self.device = torch.device(self.settings.device)
        torch.manual_seed(self.settings.seed)
        self._feed, self._validation = self._portions()
        start = release.read_network(Path(job.start)) if job.start else None
        shape = start.shape if start else self.settings.shape
        network = Network(shape, self.settings.dropout)
        if start:
            network.load_state_dict(start.state_dict())
        self.network = network.to(self.device)
        self.averaged = copy.deepcopy(self.network).eval()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        self.steps = 0
        self.curves: list[EpochCurve] = []
        self.best_cost, self.best_epoch = math.inf, -1
        self.best: dict[str, Any] = {}
        self._resume()
        self._together = team.wrap(self.network)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none was better for too long."""
        done = len(self.curves)
        return done >= self.settings.epochs or done - 1 - self.best_epoch >= self.settings.patience

    def epoch(self) -> EpochCurve:
        """Train one epoch, measure, and store the checkpoint. Raises RunFailed where the loss is no number."""
        number = len(self.curves)
        if self.settings.dropout:  # each process drops other units, the same ones in each attempt
            torch.manual_seed((self.settings.seed * 100_003 + number) * 1_009 + self.team.rank)
        self._together.train()
        total, count = torch.zeros((), dtype=torch.float64), 0
        for batch in self._feed.batches(number, self.team.rank):
            total += self._step(self._tensors(batch))
            count += 1
        told = self.team.sum(torch.tensor([float(total), float(count)], dtype=torch.float64))
        train_loss = float(told[0] / told[1]) if told[1] else math.nan
        must_be_finite(train_loss, number, self.settings)
        curve = EpochCurve(number, train_loss, *self._measure())
        must_be_finite(curve.loss, number, self.settings)
        self.curves.append(curve)
        if cost(curve) < self.best_cost:
            self.best_cost, self.best_epoch = cost(curve), number
            self.best = copy.deepcopy(self.averaged.state_dict())
        if self.team.rank == 0:
            checkpoint.save(Path(self.job.folder), self._state())
            note_so_far(self.job, self.curves)
        return curve

    def result(self, folder: Path) -> Trained:
        """Write the best epoch's weights and the curves."""
        self.averaged.load_state_dict(self.best)
        trained = Trained(folder, self.best_epoch, tuple(self.curves))
        if self.team.rank == 0:
            release.write_weights(self.averaged, folder)
            trained.write()
        return trained

    def _step(self, inputs: tuple[Any, ...]) -> Any:
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate()
        *seen, future = inputs
        paths, logits = self._together(*seen)
        loss = loss_of(paths, logits, future)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimizer.step()
        self.steps += 1
        follow = min(self.settings.average, self.steps / (self.steps + 10))
        with torch.no_grad():
            means, now = list(self.averaged.parameters()), list(self.network.parameters())
            torch._foreach_lerp_(means, now, 1 - follow)
        return loss.detach().double().cpu()

    def _rate(self) -> float:
        """Rise from zero, then fall along half a cosine to zero at the last step."""
        whole = self.settings.epochs * self._feed.steps()
        rise = min(WARM_UP, max(1, whole // 10))
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.steps / whole)))
        return self.settings.learning_rate * min(1.0, (self.steps + 1) / rise) * fall

    def _measure(self) -> list[float]:
        """Measure the averaged weights on the validation groups, each process a part of the batches."""
        total = torch.zeros(5, dtype=torch.float64)
        with torch.no_grad():
            for number, batch in enumerate(in_order(self._validation)):
                if number % self.team.world == self.team.rank:
                    *seen, future = self._tensors(batch)
                    paths, logits = self.averaged(*seen)
                    total[:4] += watched(paths, logits, future).double().cpu()
                    total[4] += len(batch)
        total = self.team.sum(total)
        return [float(value) for value in total[:4] / total[4]]

    def _tensors(self, batch: Batch) -> tuple[Any, ...]:
        arrays = (batch.mine, batch.theirs, batch.speed, batch.future)
        return tuple(torch.from_numpy(array).to(self.device) for array in arrays)

    def _portions(self) -> tuple[Feed, Portion]:
        shards = Shards.open(Path(self.job.shards))
        groups = {
            part: frozenset(g for g, p in self.job.parts.items() if p == part) for part in ("train", "validation")
        }
        learned = [Portion(shards, groups["train"])]
        if self.job.replay and self.settings.replay_fraction:
            old = Shards.open(Path(self.job.replay))
            learned.append(Portion(old, groups["train"], self.settings.replay_fraction))
        if sum(len(portion) for portion in learned) < 2 * self.team.world:
            raise RunFailed("the training part holds no samples", "take more scenes or another split")
        validation = Portion(shards, groups["validation"])
        if not len(validation):  # too few groups to spare one: the last epoch is as good a choice as any
            validation = learned[0]
        return Feed(learned, self.settings, self.team.world), validation

    def _state(self) -> dict[str, Any]:
        return {
            "identity": self.job.identity(self.team.world),
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "curves": [asdict(curve) for curve in self.curves],
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_cost": self.best_cost,
        }

    def _resume(self) -> None:
        state = checkpoint.load(Path(self.job.folder), self.job.identity(self.team.world))
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]
        self.curves = [EpochCurve(**curve) for curve in state["curves"]]
        self.best, self.best_epoch, self.best_cost = state["best"], state["best_epoch"], state["best_cost"]
