"""Makes the page of a run from its facts, and writes it so that a reader never sees half of it."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from isthmus.core.errors import MissingExtra
from isthmus.loop.measure import OVERALL, Measure
from isthmus.loop.report import figures
from isthmus.loop.report.facts import RunReport
from isthmus.state.files import replacing

_PNG = b"\x89PNG\r\n\x1a\n"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
NONE = "none"
_FEW = 12
"""Counts of a kind shown one by one; the rest is summed up."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the summary, with remarks below it as (text, amount, tone)."""

    label: str
    value: str
    unit: str
    remarks: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The banner: its tone, its headline, and what is to be added to it."""

    tone: str
    headline: str
    note: str = ""


def render(report: RunReport) -> str:
    """Make the page: self-contained HTML without scripts. Raises MissingExtra where jinja2 is not installed."""
    try:
        template = _template()
    except ImportError as error:
        raise MissingExtra.named("jinja2, which reports are made with,", "loop") from error
    from markupsafe import Markup

    from isthmus.loop.report import plots

    leading = next(iter(_leading(report.measures)), None)
    plot, hidden = Markup(""), 0
    if leading and any(found.slice != OVERALL for found in report.measures):
        plot, hidden = plots.slice_bars(report.measures, leading.metric)
    page = template.render(
        report=report,
        verdict=_verdict(report),
        tiles=_tiles(report),
        took=figures.duration(report.started, report.ended),
        overall=figures.table(report.measures),
        slices=figures.by_slice(report.measures),
        simulation=figures.table(report.simulation),
        driving=figures.by_slice(report.simulation),
        leading=leading,
        slice_plot=plot,
        hidden=hidden,
        curves=[plots.loss_curves(attempt.train_loss, attempt.validation_loss) for attempt in report.attempts],
    )
    return _UNPRINTABLE.sub("\ufffd", page)  # neither browsers nor UTF-8 take these


def write(report: RunReport, path: Path) -> None:
    """Render the report into `path`; a reader sees the old page or the new one, never a part."""
    page = render(report).encode()
    with replacing(path) as file:
        file.write(page)


def _verdict(report: RunReport) -> Verdict:
    """Say how the run ended: where it has ended, its last state tells; else what was decided."""
    last = report.states[-1] if report.states else None
    model, champion = report.model_id or "the candidate", report.champion_id or "the champion"
    kept = f"Kept: {champion} stays" if report.champion_id else "Nothing released"
    if last and last.state == "offered":
        return Verdict("open", f"Offered: {model} is ready to be released", last.why)
    if last and last.state == "cancelled":
        return Verdict("keep", "Cancelled" + (f": {champion} stays" if report.champion_id else ""), last.why)
    if report.decision is None:
        if last and last.state == "kept":
            return Verdict("keep", kept, last.why)
        return Verdict("open", "No decision was taken")
    if report.decision.verdict == "promote":
        return Verdict("promote", f"Promoted: {model} is the champion")
    if report.decision.verdict == "keep":
        return Verdict("keep", kept)
    return Verdict(
        "open", f"Not yet: {'a full retraining' if report.decision.next == 'full' else 'tuning'} is next"
    )


def _tiles(report: RunReport) -> list[Tile]:
    """Choose what a reader wants first: how good it is, how it drives, and how much it was trained on."""
    driving = [found for found in report.simulation if found.model == figures.CANDIDATE and found.slice == OVERALL]
    scores = [found for found in driving if "score" in found.metric] or driving
    best_known = max(scores, key=lambda found: found.count, default=None)
    tiles = [
        Tile(found.metric, figures.figure(found.value), found.unit, _remarks(found, report.measures))
        for found in _leading(report.measures)[:3]
    ]
    if best_known:
        remarks = (("episodes", f"{best_known.count:,}", ""), *_remarks(best_known, report.simulation))
        tiles.append(Tile(best_known.metric, figures.figure(best_known.value), best_known.unit, remarks))
    if report.selection:
        splits = tuple(
            (f"{name} samples", f"{count:,}", "") for name, count in list(report.selection.splits.items())[:3]
        )
        tiles.append(Tile("scenes chosen", f"{report.selection.count:,}", "", splits))
    return tiles


def _remarks(found: Measure, beside: tuple[Measure, ...]) -> tuple[tuple[str, str, str], ...]:
    remarks = []
    for model in (figures.CHAMPION, figures.BASELINE):
        other = next(
            (m for m in beside if (m.metric, m.slice, m.model) == (found.metric, found.slice, model)), None
        )
        against = figures.change(found, other)
        if against.change:
            remarks.append((model, against.change, against.tone))
    return tuple(remarks)


def _leading(measures: Sequence[Measure]) -> list[Measure]:
    """Put the candidate's figures over all samples in the order in which a reader wants them."""
    own = [found for found in measures if found.model == figures.CANDIDATE and found.slice == OVERALL]
    return sorted(own, key=lambda found: figures.rank(found.metric))


def _counts(counts: Mapping[str, int], ranked: bool = True) -> list[tuple[str, int, float | None]]:
    """List counts with their share of the largest: the largest first, or in their own order.

    Where there are many, only some are shown (the largest, or the last) and one line sums up the rest.
    """
    items = sorted(counts.items(), key=lambda item: (-item[1], item[0])) if ranked else list(counts.items())
    most = max(counts.values(), default=0) or 1
    rest: list[tuple[str, int]] = []
    if len(items) > _FEW:
        few = _FEW - 1
        items, rest = (items[:few], items[few:]) if ranked else (items[-few:], items[:-few])
    shown: list[tuple[str, int, float | None]] = [(name, count, count / most) for name, count in items]
    if rest:
        others = (f"{len(rest)} {'more' if ranked else 'earlier'}", sum(count for _, count in rest), None)
        shown.insert(len(shown) if ranked else 0, others)
    return shown


def _picture(png: bytes) -> str:
    """Return the picture as a data URI, empty where the bytes are no PNG."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii") if png.startswith(_PNG) else ""


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return NONE
    zone = moment.strftime("%Z") or "local time"
    return f"{moment:%Y-%m-%d %H:%M:%S} {zone}"


def _plain(value: Any) -> str:
    """Show a setting's value."""
    if value is None:
        return NONE
    if isinstance(value, (str, int, float, bool)):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)


@functools.cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        figure=figures.figure,
        seconds=figures.seconds,
        moment=_moment,
        picture=_picture,
        counts=_counts,
        plain=_plain,
    )
    source = resources.files("isthmus.loop.report").joinpath("template.html").read_text(encoding="utf-8")
    return environment.from_string(source)
