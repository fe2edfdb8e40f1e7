"""What the steps of a run work with, and what each of them ends in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.core.errors import InputError
from isthmus.core.ports import Clock
from isthmus.core.progress import Report
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.split import SplitSettings
from isthmus.loop.release.place import Place
from isthmus.loop.release.registry import Model
from isthmus.loop.release.releases import Releases
from isthmus.loop.rules.bind import BoundRule
from isthmus.loop.runs.folder import RunFolder
from isthmus.loop.runs.ledger import Run
from isthmus.loop.runs.settings import PipelineSettings
from isthmus.loop.simulators.policy import PolicySettings
from isthmus.loop.tables import LoopTables

if TYPE_CHECKING:
    from isthmus.loop.rules.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended: the event, why, and what it leaves for the steps after it."""

    event: str
    why: str
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the site that a pipeline works with."""

    name: str
    settings: PipelineSettings
    tables: LoopTables
    catalogue: Catalogue
    releases: Releases
    folder: Path
    clock: Clock
    report: Report

    def place(self, run: Run) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.folder / run.id)

    def bound(self, run: Run) -> BoundRule | None:
        """Return the rule that the run was asked for, bound; None for all scenes."""
        return self.catalogue.bind(run.ask.rule, dict(run.ask.settings or {})) if run.ask.rule else None

    def champion(self, run: Run) -> Model | None:
        """Return the model that was champion when the run began: what the candidate is compared with."""
        name = run.notes.get("champion")
        return self.releases.registry.get(name) if name else None

    def champion_folder(self, run: Run) -> Path | None:
        """Return the folder of its weights. Raises InputError where it lies on no local disk."""
        champion = self.champion(run)
        if champion is None:
            return None
        local = Place.of(champion.folder).local
        if local is None:
            raise InputError(
                f"the champion lies in {champion.folder}, on no local disk", "keep releases in a local folder"
            )
        return local

    def parameters(self, run: Run) -> tuple[TrainSettings, PolicySettings]:
        """Return the parameters in force: the pipeline's, then what tuning found.

        What an earlier tuning found stays with its champion: later runs start from it.
        """
        champion = self.champion(run)
        found = run.notes.get("tuned") or (champion.card.settings.get("tuned") if champion else None) or {}
        train = replace(self.settings.train, **found.get("train", {}))
        return train, replace(self.settings.policy, **found.get("policy", {}))

    def split(self, run: Run) -> SplitSettings:
        """Return how scenes are parted: as the site said when the run began, whatever it says by now.

        Another split in the middle of a run would train on what an earlier step validated on.
        """
        begun = run.notes.get("split")
        return SplitSettings(**begun) if begun else self.settings.split

    def tuned(self, run: Run) -> Mapping[str, Any]:
        """Return what tuning found, in this run or for the champion; empty where nothing was tuned."""
        champion = self.champion(run)
        return run.notes.get("tuned") or (champion.card.settings.get("tuned") if champion else None) or {}
