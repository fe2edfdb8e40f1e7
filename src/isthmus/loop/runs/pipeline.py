"""A pipeline: begins runs and takes each from step to step; every step can be done again after a kill."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from isthmus.core.errors import Busy, IsthmusError, RunFailed
from isthmus.core.progress import Progress
from isthmus.loop.forecasting.metrics import metrics
from isthmus.loop.plugin import one_line
from isthmus.loop.runs import finishing, judging, selecting, training, tuning
from isthmus.loop.runs.ledger import Ask, Ledger, Run
from isthmus.loop.runs.parts import Outcome, Parts
from isthmus.loop.runs.states import (
    DECIDING,
    EVALUATING,
    EXPORTING,
    RELEASING,
    RUN,
    SELECTING,
    SIMULATING,
    TRAINING,
    TUNING,
)
from isthmus.loop.simulators.port import made
from isthmus.state.lock import held

Step = Callable[[Parts, Run], Outcome]


def _decide(parts: Parts, run: Run) -> Outcome:
    """Ask the gate; where it keeps the champion, the candidate is entered as rejected."""
    outcome = judging.make_decision(parts, run)
    return finishing.set_aside(parts, run, outcome) if outcome.event == "keep" else outcome


STEPS: Mapping[str, Step] = {
    SELECTING: selecting.select,
    EXPORTING: training.export_samples,
    TRAINING: training.train_candidate,
    TUNING: tuning.tune_candidate,
    EVALUATING: judging.evaluate_offline,
    SIMULATING: judging.simulate,
    DECIDING: _decide,
    RELEASING: finishing.release,
}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline of a site."""

    parts: Parts
    ledger: Ledger

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.parts.name

    def run(self, trigger: str, ask: Ask) -> Run:
        """Begin a run and take it to its end. Raises Busy where one is open, and what the steps raise."""
        self._check(ask)
        with self._alone():
            return self._advance(self.ledger.begin(self.name, trigger, ask))

    def resume(self, run_id: str) -> Run:
        """Take an open run on from the step that was killed or failed. A finished one is returned as it is."""
        with self._alone():
            return self._advance(self.ledger.get(run_id))

    def fire(self, trigger: str, ask: Ask) -> Run:
        """Serve a trigger: take on what is open, then make its own run, unless it was its own that was open.

        An open run that fails again by the very error that it failed by before is given up: it must not keep
        all later runs from happening. Raises what the steps raise.
        """
        self._check(ask)
        with self._alone():
            found = self.ledger.open_run(self.name)
            if found is not None:
                ended = self._taken_on(found)
                if ended is not None and (ended.trigger, ended.ask) == (trigger, ask):
                    return ended
            return self._advance(self.ledger.begin(self.name, trigger, ask))

    def must_be_idle(self) -> None:
        """Raise Busy where a process works on a run of the pipeline now."""
        with self._alone():
            return

    def cancel(self, run_id: str, why: str) -> Run:
        """End an open run. Raises Busy while a process works on it, IllegalTransition where it has ended."""
        with self._alone():
            return self._cancelled(run_id, why)

    def _check(self, ask: Ask) -> None:
        """Refuse what cannot be asked, or could not be judged after the training, before anything is written."""
        if ask.rule:
            self.parts.catalogue.bind(ask.rule, dict(ask.settings or {}))
        if ask.where:
            self.parts.catalogue.where(ask.where)
        judged, driven = self.parts.settings.evaluation, self.parts.settings.simulation
        metrics(judged.metrics or None)
        for rule in judged.rules:
            self.parts.catalogue.bind(rule)
        for name in driven.simulators:
            made(name, driven.settings.get(name, {}))

    def _advance(self, run: Run) -> Run:
        self.parts.tables.waiting(self.parts.releases.reconcile, self.parts.report)
        while run.is_open:
            try:
                outcome = STEPS[run.state](self.parts, run)
                if RUN.next(run.state, outcome.event) in RUN.terminal:
                    finishing.close(self.parts, run, self.ledger.steps(run.id), outcome)
            except Busy:
                raise
            except IsthmusError as error:
                self._note(run, str(error))
                raise
            except Exception as error:  # a plugin may raise anything; the run must say so and stay resumable
                said = str(error) if isinstance(error, OSError) else one_line(error)
                self._note(run, said)
                raise RunFailed(
                    f"run {run.id} stopped while {run.state}: {said}",
                    f"mend it, then: isthmus loop resume {run.id}",
                ) from error
            run = self.ledger.move(run.id, outcome.event, outcome.why, outcome.notes)
            self.parts.report(Progress(f"run {run.state}", 1, 1, note=outcome.why))
        finishing.unpin(self.parts, run)  # after the move: a run killed before it still has its version
        return run

    def _taken_on(self, run: Run) -> Run | None:
        """Take an open run to its end; None where it failed as it did before and was given up."""
        try:
            return self._advance(run)
        except Busy:
            raise
        except IsthmusError:
            if not run.error or self.ledger.get(run.id).error != run.error:
                raise
            self._cancelled(run.id, f"given up, it failed twice: {run.error}")
            return None

    def _cancelled(self, run_id: str, why: str) -> Run:
        run = self.ledger.move(run_id, "cancel", why)
        finishing.unpin(self.parts, run)
        return run

    def _note(self, run: Run, said: str) -> None:
        with contextlib.suppress(OSError, Busy):  # a disk too full to note the error must not hide it
            self.ledger.fail(run.id, said)

    def _alone(self) -> AbstractContextManager[None]:
        return held(self.parts.folder / f"{self.name}.lock", f"a run of {self.name}")
