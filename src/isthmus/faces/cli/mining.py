"""Commands that find scenes: rules and mine."""

from __future__ import annotations

import click

from isthmus.faces.cli.root import Commands, isthmus, open_site, pairs
from isthmus.faces.cli.screen import Screen, say
from isthmus.faces.cli.tables import table


@isthmus.group(cls=Commands)
def rules() -> None:
    """List the rules, and the fields that they speak of."""


@rules.command("list")
@click.pass_context
def list_rules(ctx: click.Context) -> None:
    """List the rules with their conditions and parameters."""
    with Screen() as screen:
        site = open_site(ctx, screen)
        found = [site.catalogue.rule(name) for name in site.catalogue.names()]
        notes = site.catalogue.notes
    rows = []
    for rule in found:
        parameters = ", ".join(f"{p.name} = {p.default} {p.unit}".strip() for p in rule.parameters)
        rows.append((rule.name, rule.about, str(rule.expression), parameters))
    table(("rule", "about", "condition", "parameters"), rows)
    for note in notes:
        say(note)


@rules.command("fields")
def fields() -> None:
    """List the simple fields of scenes."""
    from isthmus.loop.fields import SCENES

    table(("field", "type", "unit", "meaning"), [(f.name, f.type.value, f.unit, f.about) for f in SCENES.simple])


@isthmus.command()
@click.argument("rule", default="")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the rule.")
@click.option("--where", default="", help="A filter on simple fields, such as day >= '2026-11-01'.")
@click.option("--like", default="", metavar="SCENE_ID", help="Find scenes like this one instead of by a rule.")
@click.option("--table", "of", default="scenes", show_default=True, help="Or another table, by --where alone.")
@click.option("--count", type=click.IntRange(1), default=20, show_default=True, help="Scenes that --like finds.")
@click.option("--limit", type=click.IntRange(1), help="Scenes at most.")
@click.option(
    "--suppress", type=float, help="Leave out near-duplicates: scenes nearer than this to one in the list."
)
@click.option("--out", default="", metavar="URI", help="Write the ID list there (.parquet, a .json beside it).")
@click.option("--export", "export_to", default="", metavar="URI", help="Write all fields of these scenes there.")
@click.option("--show", type=click.IntRange(0), default=10, show_default=True, help="Scenes to print.")
@click.pass_context
def mine(
    ctx: click.Context,
    rule: str,
    settings: tuple[str, ...],
    where: str,
    like: str,
    of: str,
    count: int,
    limit: int | None,
    suppress: float | None,
    out: str,
    export_to: str,
    show: int,
) -> None:
    """Find scenes by a rule, or scenes like one.

    RULE is a rule of the catalogue (isthmus rules list) or a combination, such as "cut_in and not dense_traffic".
    Acquired images are found too: isthmus mine --table acquire.images --where "width >= 1000"
    """
    from isthmus.app.asking import count as count_rows
    from isthmus.app.asking import empty_hint
    from isthmus.app.mining import MineAsk, mine_site, with_fields

    ask = MineAsk(rule, pairs(settings, "--set"), where, like, of, count, limit, suppress, out, export_to)
    with Screen() as screen:
        site = open_site(ctx, screen)
        found = mine_site(site, ask)
        rows = with_fields(site, found, show, of)
        hint = "" if of != "scenes" or count_rows(site) else f"; {empty_hint(site)}"
    if rows.num_rows:
        table(rows.column_names, list(zip(*(column.to_pylist() for column in rows.columns), strict=True)))
    say(found.explanation)
    hidden = f", {found.suppressed} near-duplicates left out" if found.suppressed else ""
    limited = (
        f" (the first of {found.matched} that match)" if limit and found.matched > found.rows.num_rows else ""
    )
    listed = f"; {rows.num_rows} shown" if rows.num_rows < found.rows.num_rows else ""
    what = "scenes" if of == "scenes" else f"rows of {of}"
    say(f"{found.rows.num_rows} {what}{limited} of {found.considered} considered{hidden}{listed}{hint}")
    if found.out:
        say(f"ID list: {found.out}")
    if found.exported:
        files = "1 file" if len(found.exported.parts) == 1 else f"{len(found.exported.parts)} files"
        say(f"exported {found.exported.rows} {what} in {files} to {found.exported_to}")
