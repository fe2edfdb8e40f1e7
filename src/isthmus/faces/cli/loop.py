"""Commands of the loop: run, resume, cancel, list, show, serve; models, release, rollback, withdraw."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isthmus.core.errors import Busy, InputError, IsthmusError
from isthmus.core.progress import Progress
from isthmus.faces.cli.root import Commands, isthmus, open_site, pairs
from isthmus.faces.cli.screen import Screen, say
from isthmus.faces.cli.tables import table

if TYPE_CHECKING:
    from isthmus.app.site import Site
    from isthmus.loop.runs.ledger import Run
    from isthmus.loop.runs.schedule import Schedule

MODES = click.Choice(["auto", "full", "incremental", "tune"])


@isthmus.group(cls=Commands)
def loop() -> None:
    """Train, evaluate, decide, release: runs and models."""


@loop.command("run")
@click.argument("pipeline", required=False)
@click.option("--rule", default="", help="Only the scenes for which this rule, or combination of rules, holds.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the rule.")
@click.option("--where", default="", help="A filter on simple fields, such as day >= '2026-11-01'.")
@click.option("--mode", type=MODES, default="auto", show_default=True, help="How to train first.")
@click.pass_context
def run_now(
    ctx: click.Context, pipeline: str | None, rule: str, settings: tuple[str, ...], where: str, mode: str
) -> None:
    """Start a run by hand and take it to its end.

    PIPELINE may be left out where the site has one. Without a rule or filter it takes all scenes.
    """
    from isthmus.loop.runs.ledger import Ask

    with Screen() as screen:
        site = open_site(ctx, screen)
        ask = Ask(rule, pairs(settings, "--set"), where, mode)
        run = site.pipeline(site.one_pipeline(pipeline)).run("by hand", ask)
    _tell(ctx, run.id)


@loop.command()
@click.argument("run_id")
@click.pass_context
def resume(ctx: click.Context, run_id: str) -> None:
    """Take on a run that was killed or failed."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        site.pipeline(site.ledger.get(run_id).pipeline).resume(run_id)
    _tell(ctx, run_id)


@loop.command()
@click.argument("run_id")
@click.option("--why", default="cancelled by hand", show_default=True)
@click.pass_context
def cancel(ctx: click.Context, run_id: str, why: str) -> None:
    """End an open run that no process works on."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        site.pipeline(site.ledger.get(run_id).pipeline).cancel(run_id, why)
    _tell(ctx, run_id)


@loop.command("list")
@click.argument("pipeline", required=False)
@click.pass_context
def list_runs(ctx: click.Context, pipeline: str | None) -> None:
    """List the runs, newest first."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        runs = site.ledger.runs(pipeline)
    rows: list[tuple[str, ...]] = [
        (r.id, r.trigger, r.ask.rule or r.ask.where or "all scenes", r.state, _minute(r.started), r.error)
        for r in runs
    ]
    if not rows:
        say("no run yet; start one: isthmus loop run")
        return
    columns: tuple[str, ...] = ("run", "trigger", "scenes", "state", "started", "error")
    if not any(run.error for run in runs):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    table(columns, rows)


@loop.command("show")
@click.argument("run_id")
@click.pass_context
def show_run(ctx: click.Context, run_id: str) -> None:
    """Show what a run did and why, and where its report lies.

    Its steps, the parameters that were tuned, the reasons of the decision.
    """
    _tell(ctx, run_id)


@loop.command()
@click.option("--once", is_flag=True, help="Fire what is due and end.")
@click.pass_context
def serve(ctx: click.Context, once: bool) -> None:
    """Run pipelines at the times of their triggers.

    What was missed while no process served runs once at start. Ctrl-C ends it.
    """
    if not once:
        from isthmus.app.waiting import wait_and_fire

        ctx.exit(wait_and_fire(ctx.obj, say))
    with Screen() as screen:
        site = open_site(ctx, screen)
        if not site.config.triggers:
            raise InputError(
                "the site has no trigger", "add [trigger.NAME] to its TOML; see: isthmus keys trigger"
            )
        fired: list[str] = []

        def serve_and_count(schedule: Schedule) -> None:
            fired.append(schedule.name)
            _fired(ctx.obj, schedule.name, screen)

        site.scheduler().serve_due(serve_and_count)
        if not fired:
            say("nothing was due; the times: isthmus loop triggers")


@loop.command("fire", hidden=True)
@click.argument("trigger")
@click.pass_context
def fire_one(ctx: click.Context, trigger: str) -> None:
    """Fire one trigger now: what isthmus loop serve does at its time. Exit code 4: it stays due."""
    with Screen() as screen:
        _fired(ctx.obj, trigger, screen)


def _fired(site_file: Path, trigger: str, screen: Screen) -> None:
    """Fire one trigger and tell what came of it. Raises Busy where it stays due."""
    from isthmus.app.serving import fire

    say(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} trigger {trigger}")
    try:
        say(fire(site_file, trigger, screen))
    except Busy as error:
        say(f"trigger {trigger}: {error}; it fires as soon as that is free")
        raise
    except (IsthmusError, OSError) as error:  # one trigger that fails must not end the others
        say(f"trigger {trigger}: {error}")
        screen(Progress(f"trigger {trigger}", 0, note="failed"))


@loop.command()
@click.option("--check", is_flag=True, hidden=True, help="Read the TOML and list nothing.")
@click.pass_context
def triggers(ctx: click.Context, check: bool) -> None:
    """List the triggers and when each fires next."""
    from isthmus.app.schedules import timetable

    with Screen() as screen:
        site = open_site(ctx, screen)
        rows = [
            (one.name, one.cron, one.pipeline, ", ".join(one.ingest), _moment(one.last), _moment(one.after))
            for one in timetable(site)
        ]
    if check:
        return
    if not rows:
        say("the site has no trigger: add [trigger.NAME] to its TOML")
        return
    table(("trigger", "cron", "pipeline", "ingests first", "last run", "next"), rows)
    say(f"times in {site.config.site.timezone}; isthmus loop serve waits for them")


@loop.command()
@click.argument("pipeline", required=False)
@click.pass_context
def models(ctx: click.Context, pipeline: str | None) -> None:
    """List the models, newest first."""
    from isthmus.app.mining import plain

    with Screen() as screen:
        site = open_site(ctx, screen)
        found = site.registry.list(site.one_pipeline(pipeline))
    rows = [
        (
            m.model_id,
            m.state,
            m.card.mode,
            m.card.id_count,
            ", ".join(used.name for used in m.card.rules) or "-",
            _minute(m.created_at),
        )
        for m in found
    ]
    if not rows:
        say("no model yet; train one: isthmus loop run")
        return
    table(("model", "state", "training", "scenes", "rule", "created"), rows)
    for model in found:
        if model.state == "champion":
            say(f"the champion lies in {plain(model.folder)}")


@loop.command()
@click.argument("model_id")
@click.option("--why", default="released by hand", show_default=True)
@click.pass_context
def release(ctx: click.Context, model_id: str, why: str) -> None:
    """Make a model the champion; the present one retires.

    Its folder is verified byte by byte first.
    """
    from isthmus.app.mining import plain

    with Screen() as screen:
        site = open_site(ctx, screen)
        model = site.releases.promote(model_id, why)
    say(f"{model.model_id} is the champion of {model.pipeline}; it lies in {plain(model.folder)}")


@loop.command()
@click.argument("pipeline", required=False)
@click.option("--why", default="rolled back by hand", show_default=True)
@click.pass_context
def rollback(ctx: click.Context, pipeline: str | None, why: str) -> None:
    """Go back to the champion before the present one.

    Its folder is verified byte by byte first.
    """
    with Screen() as screen:
        site = open_site(ctx, screen)
        model = site.releases.rollback(site.one_pipeline(pipeline), why)
    say(f"{model.model_id} is the champion of {model.pipeline} again")


@loop.command()
@click.argument("model_id")
@click.option("--why", default="withdrawn by hand", show_default=True)
@click.pass_context
def withdraw(ctx: click.Context, model_id: str, why: str) -> None:
    """Rule a model out for good.

    Nothing releases it any more, and a rollback passes it over. The champion cannot be withdrawn: roll back first.
    """
    with Screen() as screen:
        site = open_site(ctx, screen)
        site.registry.withdraw(model_id, why)
    say(f"{model_id} is withdrawn")


def _tell(ctx: click.Context, run_id: str) -> None:
    with Screen() as screen:
        site = open_site(ctx, screen)
        run = site.ledger.get(run_id)
        steps = site.ledger.steps(run_id)
        report = site.run_folder(run_id).report
    table(("step", "state", "at", "why"), [(s.event, s.state, _minute(s.at, seconds=True), s.why) for s in steps])
    reasons = (run.notes.get("decision") or {}).get("reasons", ())
    if reasons:
        table(("gate", "reason"), [(reason["status"], reason["sentence"]) for reason in reasons])
    for line in _facts(site, run, report):
        say(line, fold=not line.startswith("report: "))


def _facts(site: Site, run: Run, report: Path) -> Iterator[str]:
    """What is worth telling of a run beside its steps."""
    from isthmus.app.asking import count, empty_hint

    yield f"run {run.id}: {run.state}" + (f" ({run.error})" if run.error else "")
    set_to = ", ".join(f"{name}={value}" for name, value in (run.ask.settings or {}).items())
    scenes = " where ".join(filter(None, (run.ask.rule or "all scenes", run.ask.where)))
    yield f"trigger: {run.trigger}; scenes: {scenes}" + (f" with {set_to}" if set_to else "")
    if attempts := run.notes.get("attempts"):
        yield f"training: {', then '.join(attempts)}"
    for part, values in (run.notes.get("tuned") or {}).items():
        if values:
            yield f"tuned {part}: " + ", ".join(f"{name} = {_figure(value)}" for name, value in values.items())
    if report.is_file():
        yield f"report: {report}"
    if not run.is_open and "model" in run.notes:
        model = site.registry.get(run.notes["model"])
        by_hand = f"; to release it against the gate: isthmus loop release {model.model_id}"
        yield f"model: {model.model_id}, {model.state}" + (by_hand if model.state == "rejected" else "")
    if run.is_open:
        yield f"go on with: isthmus loop resume {run.id}, or end it: isthmus loop cancel {run.id}"
    if not run.is_open and not run.notes.get("attempts") and not count(site):
        yield empty_hint(site)


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _minute(moment: str, *, seconds: bool = False) -> str:
    """Write the ledger's moment for a person: to the minute, or the second."""
    return moment[: 19 if seconds else 16].replace("T", " ")


def _moment(moment: datetime.datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"
