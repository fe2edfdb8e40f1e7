"""Commands of the loop: run, resume, cancel, list, show, serve; models, release, rollback."""

from __future__ import annotations

import datetime
import json

import click

from isthmus.core.errors import IsthmusError
from isthmus.core.progress import Progress
from isthmus.faces.cli.root import Commands, isthmus, open_site, pairs
from isthmus.faces.cli.screen import Screen, say, table

MODES = click.Choice(["auto", "full", "incremental", "tune"])


@isthmus.group(cls=Commands)
def loop() -> None:
    """Train, evaluate, decide, release: the runs of a pipeline and its models."""


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
    """Start a run by hand and take it to its end. PIPELINE may be left out where the site has one."""
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
    """Take a run that was killed or failed on from the step where it stopped."""
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
    rows = [
        (r.id, r.trigger, r.ask.rule or "all scenes", r.state, r.notes.get("model", ""), r.started[:19], r.error)
        for r in runs
    ]
    table(("run", "trigger", "scenes", "state", "model", "started", "error"), rows)


@loop.command("show")
@click.argument("run_id")
@click.pass_context
def show_run(ctx: click.Context, run_id: str) -> None:
    """Show the steps of a run, why each happened, and where its report lies."""
    _tell(ctx, run_id)


@loop.command()
@click.option("--once", is_flag=True, help="Fire what is due and end.")
@click.pass_context
def serve(ctx: click.Context, once: bool) -> None:
    """Wait for the times of the triggers and run their pipelines; what was missed runs once at start."""
    from isthmus.app.serving import fire
    from isthmus.loop.runs.schedule import Schedule

    with Screen() as screen:
        site = open_site(ctx, screen)

        def serve_one(schedule: Schedule) -> None:
            say(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} trigger {schedule.name}")
            try:
                say(fire(ctx.obj, schedule.name, screen))
            except IsthmusError as error:  # one trigger that fails must not end the others
                say(f"trigger {schedule.name}: {error}")
                screen(Progress(f"trigger {schedule.name}", 0, note="failed"))

        scheduler = site.scheduler()
        if once:
            scheduler.serve_due(serve_one)
        else:
            say(f"serving {len(site.config.triggers)} triggers; ctrl-C ends it")
            scheduler.serve(serve_one)


@loop.command()
@click.argument("pipeline", required=False)
@click.pass_context
def models(ctx: click.Context, pipeline: str | None) -> None:
    """List the models, newest first."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        found = site.registry.list(site.one_pipeline(pipeline))
    rows = [(m.model_id, m.state, m.card.mode, m.card.id_count, m.created_at[:19], m.folder) for m in found]
    table(("model", "state", "training", "scenes", "created", "folder"), rows)


@loop.command()
@click.argument("model_id")
@click.option("--why", default="released by hand", show_default=True)
@click.pass_context
def release(ctx: click.Context, model_id: str, why: str) -> None:
    """Make a model the champion; the present one retires. Its folder is verified byte by byte first."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        model = site.releases.promote(model_id, why)
    say(f"{model.model_id} is the champion of {model.pipeline}; it lies in {model.folder}")


@loop.command()
@click.argument("pipeline", required=False)
@click.option("--why", default="rolled back by hand", show_default=True)
@click.pass_context
def rollback(ctx: click.Context, pipeline: str | None, why: str) -> None:
    """Go back to the champion before the present one."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        model = site.releases.rollback(site.one_pipeline(pipeline), why)
    say(f"{model.model_id} is the champion of {model.pipeline} again")


def _tell(ctx: click.Context, run_id: str) -> None:
    with Screen() as screen:
        site = open_site(ctx, screen)
        run = site.ledger.get(run_id)
        steps = site.ledger.steps(run_id)
        report = site.run_folder(run_id).report
    table(("step", "state", "at", "why"), [(s.event, s.state, s.at[:19], s.why) for s in steps])
    say(f"run {run.id}: {run.state}" + (f" ({run.error})" if run.error else ""))
    for reason in (run.notes.get("decision") or {}).get("reasons", ()):
        say(f"  {reason['status']}: {reason['sentence']}")
    if report.is_file():
        say(f"report: {report}")
    if not run.is_open and "model" in run.notes:
        say(f"model: {json.dumps(run.notes['model'])}")
