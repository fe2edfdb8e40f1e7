"""Whole runs on simulated traffic: released, kept, tuned, cancelled, killed and resumed."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus.app.site import Site
from isthmus.app.views.models import show_model
from isthmus.app.views.runs import show_run
from isthmus.core.errors import Busy, Corrupt, InputError, UnknownName
from isthmus.core.progress import Progress
from isthmus.loop.release import folder as released
from isthmus.loop.release.registry import Model, Registry
from isthmus.loop.runs import finishing
from isthmus.loop.runs.folder import read_json, read_measures
from isthmus.loop.runs.ledger import Ask, Run
from traffic import EASY, IMPOSSIBLE, bring, site_with_a_day, write_day, write_site

NEXT = datetime.date(2026, 11, 21)
TESTS = Path(__file__).resolve().parents[2]

VICTIM = textwrap.dedent("""
    import pathlib, sys
    from isthmus.app.site import Site
    from isthmus.loop.runs.ledger import Ask

    def stop_at(progress):
        if progress.stage == sys.argv[2] and progress.done == int(sys.argv[3]):
            print("there", flush=True)
            sys.stdin.read()

    if __name__ == "__main__":
        site = Site.open(pathlib.Path(sys.argv[1]), stop_at)
        site.pipeline("forecast").fire("by hand", Ask())
        print("not killed", flush=True)
""")

STEPS = (
    ("select", 0),
    ("run exporting", 1),
    ("train", 1),
    ("run evaluating", 1),
    ("run simulating", 1),
    ("run deciding", 1),
    ("run releasing", 1),
    ("release", 1),
)


def opened(path: Path, gate: str = EASY) -> Site:
    return Site.open(site_with_a_day(path, gate))


@dataclass(frozen=True)
class First:
    """A site after its first run on all scenes, which nobody changes, and what the run told."""

    site: Site
    run: Run
    seen: list[Progress]

    def copied(self, folder: Path) -> Site:
        """Return a copy that may be changed."""
        shutil.copytree(self.site.config.folder, folder, dirs_exist_ok=True)
        return Site.open(folder / "isthmus.toml")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> First:
    site, seen = opened(tmp_path_factory.mktemp("first")), list[Progress]()
    site.report = seen.append
    return First(site, site.pipeline("forecast").run("by hand", Ask()), seen)


def test_a_run_on_all_scenes_releases_a_champion_with_its_card_and_report(first: First) -> None:
    site, run = first.site, first.run
    assert (run.state, run.notes["attempts"], run.notes["count"]) == ("released", ["full"], 56)
    champion = site.registry.champion("forecast")
    assert champion is not None
    assert champion.model_id == run.notes["model"]
    released.verify(champion.folder, champion.manifest)
    assert (champion.card.id_count, champion.card.version) == (56, run.notes["version"])
    assert {m.model for m in champion.card.measures} >= {"candidate", "constant velocity"}
    page = site.run_folder(run.id).report.read_text()
    assert champion.model_id in page
    assert "drive-0" in page, "failure cases are named"


def test_what_a_run_leaves_is_what_the_console_sees(first: First) -> None:
    toml = first.site.config.path
    details = show_run(toml, first.run.id)
    (training,) = details.trainings
    assert (details.run.state, len(training.loss), len(training.ade), training.epochs) == ("released", 3, 3, 3)
    assert training.best is not None
    assert {one.model for one in details.offline} == {"candidate", "constant velocity"}
    assert {one.part for one in details.offline} >= {"overall", "source:cars"}
    assert details.simulation
    assert details.failures
    assert details.report
    assert details.decision is not None
    model = show_model(toml, details.run.model)
    assert (model.model.state, model.model.run, model.model.scenes) == ("champion", first.run.id, 56)
    assert set(model.digests) >= {"model.safetensors", "model.onnx"}
    so_far = read_json(first.site.run_folder(first.run.id).attempt(1, "full") / "so_far.json")
    assert (so_far["epochs"], len(so_far["curves"])) == (3, 3), "who watched saw it learn"


def test_a_challenger_starts_from_the_champion_with_what_is_new_to_it(first: First, tmp_path: Path) -> None:
    site = first.copied(tmp_path)
    write_day(tmp_path, str(NEXT), range(20, 28))
    bring(site, NEXT)
    second = site.pipeline("forecast").run("by hand", Ask())
    assert (second.notes["attempts"], second.notes["fresh"], second.notes["old"]) == (["incremental"], 32, 56)
    champion = site.registry.champion("forecast")
    assert champion is not None
    assert champion.card.parent == first.run.notes["model"]
    assert site.releases.rollback("forecast").model_id == first.run.notes["model"]


def test_no_training_touches_a_leak_group_that_tests(tmp_path: Path) -> None:
    site = opened(tmp_path)
    run = site.pipeline("forecast").run("by hand", Ask("high_speed or not high_speed"))
    from isthmus.loop.forecasting.shards import Shards
    from isthmus.loop.runs.training import split_of

    pipeline = site.pipeline("forecast")
    shards = Shards.open(site.run_folder(run.id).shards("ids"))
    split = split_of(pipeline.parts, run, shards)
    test = site.run_folder(run.id).test_groups()
    assert test
    assert {group for group, part in split.items() if part == "test"} == test & set(shards.group_names)


def test_a_model_that_does_not_hold_the_gate_climbs_the_ladder_and_is_kept_out(tmp_path: Path) -> None:
    site = opened(tmp_path, IMPOSSIBLE)
    run = site.pipeline("forecast").run("by hand", Ask())
    assert (run.state, run.notes["attempts"]) == ("kept", ["full", "tune"])
    assert site.registry.champion("forecast") is None
    assert [step.event for step in site.ledger.steps(run.id)][-2:] == ["simulated", "keep"]
    assert "Nothing released" in site.run_folder(run.id).report.read_text()
    assert set(run.notes["tuned"]["train"]) == {"learning_rate", "weight_decay", "dropout", "hidden", "pool"}
    (rejected,) = site.registry.list("forecast")
    assert (rejected.model_id, rejected.state, rejected.card.mode) == (run.notes["model"], "rejected", "tune")
    assert [event.event for event in site.registry.history(rejected.model_id)] == ["add", "reject"]
    assert site.releases.promote(rejected.model_id, "against the gate").state == "champion"


def test_a_run_killed_while_it_rejects_its_candidate_enters_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(tmp_path, "ladder = []\n" + IMPOSSIBLE)
    reject, killed = Registry.reject, []

    def die_once(registry: Registry, model_id: str, why: str = "") -> Model:
        if not killed:
            killed.append(model_id)
            raise KeyboardInterrupt
        return reject(registry, model_id, why)

    monkeypatch.setattr(Registry, "reject", die_once)
    with pytest.raises(KeyboardInterrupt):
        site.pipeline("forecast").run("by hand", Ask())
    (open_run,) = site.ledger.runs()
    assert open_run.state == "deciding"
    assert site.pipeline("forecast").resume(open_run.id).state == "kept"
    assert [(model.model_id, model.state) for model in site.registry.list()] == [(killed[0], "rejected")]


def test_a_rejected_candidate_that_cannot_be_exported_does_not_keep_its_run_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(tmp_path, "ladder = []\n" + IMPOSSIBLE)

    def broken(_: Path) -> None:
        raise Corrupt("model.onnx differs from PyTorch", "export it again")

    monkeypatch.setattr(finishing, "export_onnx", broken)
    run = site.pipeline("forecast").run("by hand", Ask())
    assert (run.state, site.registry.list()) == ("kept", ())
    assert "cannot be released by hand: model.onnx differs" in site.ledger.steps(run.id)[-1].why


def test_a_rule_that_nothing_holds_for_ends_the_run_and_says_so(tmp_path: Path) -> None:
    site = opened(tmp_path)
    run = site.pipeline("forecast").run("by hand", Ask("high_speed", {"speed": "99"}))
    steps = site.ledger.steps(run.id)
    assert (run.state, steps[-1].why) == ("kept", "the rule 'high_speed' gives no scene among 56")


def test_a_rule_that_does_not_exist_makes_no_run(tmp_path: Path) -> None:
    site = opened(tmp_path)
    with pytest.raises(UnknownName, match="did you mean 'cut_in'"):
        site.pipeline("forecast").run("by hand", Ask("cut_inn"))
    assert site.ledger.runs() == []


def test_a_run_released_by_hand_waits_for_a_person(tmp_path: Path) -> None:
    path = site_with_a_day(tmp_path, EASY)
    path.write_text(
        path.read_text().replace(
            "[pipeline.forecast.train]", '[pipeline.forecast]\nrelease = "manual"\n[pipeline.forecast.train]'
        )
    )
    site = Site.open(path)
    run = site.pipeline("forecast").run("by hand", Ask())
    assert (run.state, site.registry.champion("forecast")) == ("offered", None)
    assert site.releases.promote(run.notes["model"], "looks good").state == "champion"


def test_an_open_run_is_taken_on_by_the_next_trigger_and_can_be_cancelled(tmp_path: Path) -> None:
    site = opened(tmp_path)
    run = site.ledger.begin("forecast", "nightly", Ask())
    with pytest.raises(Busy, match="is open"):
        site.pipeline("forecast").run("by hand", Ask())
    assert site.pipeline("forecast").cancel(run.id, "not now").state == "cancelled"
    none = Ask("high_speed", {"speed": "99"})
    other = site.ledger.begin("forecast", "nightly", none)
    assert site.pipeline("forecast").fire("nightly", none).id == other.id
    third = site.ledger.begin("forecast", "nightly", none)
    own = site.pipeline("forecast").fire("weekly", Ask("high_speed", {"speed": "98"}))
    assert (site.ledger.get(third.id).state, own.trigger, own.state) == ("kept", "weekly", "kept")


def kill(path: Path, stage: str, done: int) -> None:
    """Let a process go on with the run of a site until a step, and kill it there."""
    script = path.with_name("victim.py")
    script.write_text(VICTIM)
    child = subprocess.Popen(
        [sys.executable, str(script), str(path), stage, str(done)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "there\n", stage
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()


def stop(path: Path, stage: str, done: int) -> None:
    """Go on with the run of a site in this process until a step, and end there as nothing expects it."""

    class Stopped(BaseException):
        pass

    def stop_at(progress: Progress) -> None:
        if (progress.stage, progress.done) == (stage, done):
            raise Stopped

    with pytest.raises(Stopped):
        Site.open(path, stop_at).pipeline("forecast").fire("by hand", Ask())


@pytest.mark.parametrize(
    "killed",
    [
        pytest.param({"select", "train", "release"}, id="some killed"),
        pytest.param({stage for stage, _ in STEPS}, id="all killed", marks=pytest.mark.soak),
    ],
)
def test_a_run_that_dies_at_every_step_ends_with_the_model_of_one_that_did_not(
    first: First, tmp_path: Path, killed: set[str]
) -> None:
    """In the suite most steps die within this process, which costs no start of one; in the soak all are killed."""
    quiet, victim = first.site, opened(tmp_path / "victim")
    for stage, done in STEPS:
        (kill if stage in killed else stop)(tmp_path / "victim" / "isthmus.toml", stage, done)
    (run,) = victim.ledger.runs("forecast")
    assert victim.pipeline("forecast").resume(run.id).state == "released"
    assert len(victim.registry.list("forecast")) == 1
    weights = []
    for site in (quiet, victim):
        champion = site.registry.champion("forecast")
        assert champion is not None
        weights.append(champion.card.digests["model.safetensors"])
    assert weights[0] == weights[1]


def test_progress_tells_every_state_of_a_run(first: First) -> None:
    stages = [progress.stage for progress in first.seen]
    assert [s for s in stages if s.startswith("run ")] == [
        "run exporting",
        "run training",
        "run evaluating",
        "run simulating",
        "run deciding",
        "run releasing",
        "run released",
    ]
    assert {"train", "evaluate", "samples"} <= set(stages)


def test_the_slice_of_the_rule_asked_for_has_its_parameters(tmp_path: Path) -> None:
    site = opened(tmp_path)
    asked = Ask("high_speed", {"speed": "12"})
    run = site.pipeline("forecast").run("by hand", asked)
    measured = read_measures(site.run_folder(run.id).attempt(1, "full") / "offline.json")
    assert "rule:high_speed" in {m.slice for m in measured}, "no car reaches the 25 m/s of the default"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("failures = 2", 'failures = 2\nmetrics = ["ADEE"]', "unknown metric 'ADEE'"),
        ("failures = 2", 'failures = 2\nrules = ["cut_inn"]', "unknown rule or field 'cut_inn'"),
        ('["log_replay"]', '["log_rplay"]', "unknown simulator 'log_rplay'"),
        ("[pipeline.forecast.gate]", "[pipeline.forecast.simulation.settings.log_replay]\nnope = 1", "key 'nope'"),
    ],
)
def test_what_could_not_be_judged_after_the_training_is_refused_before_it(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = write_site(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    site = Site.open(path)
    with pytest.raises(InputError, match=told):
        site.pipeline("forecast").run("by hand", Ask())
    assert site.ledger.runs() == []


def test_the_card_tells_the_shape_of_the_weights_where_the_champion_set_it(first: First, tmp_path: Path) -> None:
    path = first.copied(tmp_path).config.path
    path.write_text(path.read_text().replace("hidden = 48", "hidden = 32").replace("epochs = 3", "epochs = 2"))
    site = Site.open(path)
    run = site.pipeline("forecast").run("by hand", Ask())
    model = site.registry.get(run.notes["model"])
    assert model.card.mode == "incremental"
    assert (model.card.settings["hidden"], model.card.settings["epochs"]) == (48, 2)
