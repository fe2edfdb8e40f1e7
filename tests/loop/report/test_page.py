from __future__ import annotations

import base64
import dataclasses
import datetime
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.core.errors import MissingExtra
from isthmus.loop.decision import Bound, Decision, GateSettings, decide
from isthmus.loop.measure import Measure
from isthmus.loop.report import facts, page
from isthmus.loop.report.facts import RunReport
from isthmus.loop.report.page import render, write

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
START = datetime.datetime(2026, 11, 20, 8, 0, tzinfo=datetime.UTC)
HOSTILE = (
    '<script src="https://evil.example/x.js">alert(1)</script>"\'><img src=http://evil.example/i.png onerror=a>&'
)

VOID = {"meta", "img", "link", "br", "hr", "line", "circle", "polyline", "rect"}


class Page(HTMLParser):
    """What a browser would find: the tags and their attributes, the text, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def under(self, heading: str) -> str:
        """Return the text between the heading and the next one of its kind."""
        joined = "\x1f".join(self.text)
        assert f"\x1f{heading}\x1f" in joined, heading
        rest = joined.split(f"\x1f{heading}\x1f", 1)[1]
        ends = [rest.index(f"\x1f{other}\x1f") for other in SECTIONS if f"\x1f{other}\x1f" in rest]
        return " ".join(rest[: min(ends, default=len(rest))].replace("\x1f", " ").split())


SECTIONS = (
    "Decision and why",
    "Metrics",
    "Slices",
    "Simulation",
    "Failure cases",
    "What it was trained on",
    "Rules",
    "Training",
    "To make it again",
)


def whole(word: str = "plain") -> RunReport:
    """A report with every part filled in, with `word` wherever a name may come from outside."""
    measures = tuple(
        Measure("minADE", part, model, value, 40, "m", "lower")
        for part in ("overall", f"rule:{word}")
        for model, value in (("candidate", 0.7), ("champion", 0.8), ("constant velocity", 1.0))
    )
    driving = (Measure(f"score {word}", "overall", "candidate", 0.9, 8, word, "higher"),)
    gate = GateSettings(bounds=(Bound("minADE", against="champion", tolerance=0.0), Bound(word, maximum=1.0)))
    return RunReport(
        run_id=word,
        pipeline=word,
        trigger=word,
        started=START,
        ended=START + datetime.timedelta(minutes=5),
        states=(facts.StatePassed(word, START, word),),
        selection=facts.Selection(
            word, 7, word, word, 1200, word, {word: 1200}, {"2026-11-20": 1200}, {word: 3}, {"train": 900}
        ),
        rules=(facts.RuleShown(word, word, word, (facts.ParameterShown(word, word, 2.0, word, word),)),),
        attempts=(facts.Attempt(word, {word: word, "layers": [1, 2]}, (3.0, 2.0), (3.5, 2.5), 12.0, word),),
        measures=measures,
        simulation=driving,
        failures=(facts.FailureCase(word, word, PNG), facts.FailureCase("no picture", word, b"<svg>")),
        decision=decide(measures, gate, ["full"], has_champion=True),
        model_id=word,
        champion_id=word,
        seed=5,
        commands=(word,),
        digests={word: word},
        software={word: word},
    )


def test_a_whole_run_is_told_section_by_section() -> None:
    found = Page(render(whole()))
    assert "Kept: plain stays" in found.text
    assert "−12.5 %" in found.under("Metrics")
    assert "rule:plain" in found.under("Slices")
    assert "score plain" in found.under("Simulation")
    assert "12.5 % better than the champion's 0.8 m" in found.under("Decision and why")
    assert "1,200" in found.under("What it was trained on")
    assert "2.0" in found.under("Rules")
    assert "[1, 2]" in found.under("Training")
    assert sum(tag == "polyline" for tag, _ in found.tags) == 2
    assert sum(tag == "img" for tag, _ in found.tags) == 1
    assert "no picture" in found.under("Failure cases")


def test_a_run_with_nothing_in_it_says_none_everywhere() -> None:
    found = Page(render(RunReport("run-1", "forecast")))
    for section in SECTIONS[:-1]:
        assert found.under(section) == "none"
    assert "No decision was taken" in found.text


@pytest.mark.parametrize(
    "part", [item.name for item in dataclasses.fields(RunReport) if item.name not in ("run_id", "pipeline")]
)
def test_any_one_part_may_be_missing(part: str) -> None:
    empty = RunReport("run-1", "forecast")
    page = Page(render(dataclasses.replace(whole(), **{part: getattr(empty, part)})))
    assert whole().pipeline in page.text


@pytest.mark.parametrize(
    ("verdict", "rung", "headline"),
    [
        ("promote", None, "Promoted: m-2 is the champion"),
        ("continue", "full", "Not yet: a full retraining is next"),
        ("continue", "tune", "Not yet: tuning is next"),
        ("keep", None, "Kept: m-1 stays"),
    ],
)
def test_the_banner_says_how_it_ended(verdict: str, rung: str | None, headline: str) -> None:
    decision = Decision(verdict, rung, (), "Because.")  # type: ignore[arg-type]
    found = Page(render(RunReport("r", "forecast", decision=decision, model_id="m-2", champion_id="m-1")))
    assert headline in found.text


@pytest.mark.parametrize(
    ("state", "decided", "headline", "note"),
    [
        ("released", True, "Promoted: m-2 is the champion", None),
        ("offered", True, "Offered: m-2 is ready to be released", "m-2 waits for: isthmus loop release m-2"),
        ("kept", False, "Kept: m-1 stays", "no scene fits"),
        ("cancelled", False, "Cancelled: m-1 stays", "asked for"),
    ],
)
def test_the_banner_follows_the_state_in_which_the_run_ended(
    state: str, decided: bool, headline: str, note: str | None
) -> None:
    decision = Decision("promote", None, (), "All held.") if decided else None
    states = (facts.StatePassed("selecting", START), facts.StatePassed(state, START, note or "it is the champion"))
    report = RunReport("r", "forecast", states=states, decision=decision, model_id="m-2", champion_id="m-1")
    text = Page(render(report)).text
    assert headline in text
    if note:  # in the banner, and among the states passed
        assert text.count(note) == 2


def test_the_first_tile_is_the_leading_error_and_the_last_one_counts_scenes_and_samples() -> None:
    measures = tuple(
        Measure(metric, "overall", "candidate", 0.5, 40, "m", "lower") for metric in ("minADE", "FDE", "ADE")
    )
    scores = (
        Measure("few.score", "overall", "candidate", 0.1, 2, "", "higher"),
        Measure("many.score", "overall", "candidate", 0.9, 40, "", "higher"),
        Measure("many.score", "tag:a", "candidate", 0.8, 41, "", "higher"),
    )
    tiles = page._tiles(dataclasses.replace(whole(), measures=measures, simulation=scores))
    assert [tile.label for tile in tiles] == ["ADE", "FDE", "minADE", "many.score", "scenes chosen"]
    assert tiles[3].value == "0.900"
    assert tiles[-1].remarks == (("train samples", "900", ""),)


def test_the_slices_fold_by_metric_and_only_the_leading_one_is_open() -> None:
    measures = tuple(
        Measure(metric, part, "candidate", 0.5, 40, "m", "lower")
        for metric in ("minADE", "ADE")
        for part in ("overall", "tag:a", "source:b")
    )
    found = Page(render(RunReport("r", "forecast", measures=measures, simulation=measures)))
    assert ["open" in attributes for tag, attributes in found.tags if tag == "details"] == [
        True,
        False,
        False,
        False,
    ]
    assert "source:b = tag:a" in found.under("Slices")
    assert "source:b = tag:a" in found.under("Simulation")


def test_copies_of_a_failure_are_named_below_it() -> None:
    case = facts.FailureCase("a.1", "3 m off", PNG, ("b.1", "c.1"))
    told = Page(render(RunReport("r", "forecast", failures=(case,)))).under("Failure cases")
    assert told == "3 m off a.1 the same in 2 more: b.1, c.1"


def outside(seen: Page) -> list[str]:
    """List everything that would make a browser leave the file or run something."""
    found = [
        f"<{tag}>"
        for tag, _ in seen.tags
        if tag in ("script", "link", "iframe", "object", "embed", "base", "form")
    ]
    for tag, attributes in seen.tags:
        for name, value in attributes.items():
            refers = name in ("src", "href", "srcset", "action", "data", "xlink:href", "poster", "background")
            if name.startswith("on") or (refers and not (value or "").startswith("data:image/png;base64,")):
                found.append(f"<{tag} {name}={value}>")
            if "url(" in (value or "") and name == "style":
                found.append(f"<{tag} {name}={value}>")
    return found


def test_the_page_needs_no_network_and_runs_nothing() -> None:
    text = render(whole())
    assert outside(Page(text)) == []
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in text


def test_hostile_names_are_shown_and_do_nothing() -> None:
    found = Page(render(whole(HOSTILE)))
    assert outside(found) == []
    assert any(HOSTILE in text for text in found.text)
    plain = Page(render(whole()))
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(), min_size=1, max_size=20))
def test_no_text_can_break_the_page(word: str) -> None:
    text = render(whole(word))
    text.encode()
    found = Page(text)
    assert outside(found) == []
    assert "\x00" not in text


def test_the_same_facts_make_the_same_page() -> None:
    assert render(whole()) == render(whole())


def test_writing_replaces_the_page_as_a_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "run.html"
    write(RunReport("one", "forecast"), path)
    write(RunReport("two", "forecast"), path)
    assert "run two" in path.read_text(encoding="utf-8")
    assert [item.name for item in path.parent.iterdir()] == ["run.html"]


def test_without_jinja2_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    page._template.cache_clear()
    with pytest.raises(MissingExtra, match=r"isthmus\[loop\]"):
        render(RunReport("one", "forecast"))


def test_many_days_are_summed_up_and_the_last_ones_shown() -> None:
    days = {f"2026-11-{day:02d}": day for day in range(1, 21)}
    selection = facts.Selection("t", 1, "", "", 1, by_day=days, by_source={f"s{n:02d}": n for n in range(1, 21)})
    told = Page(render(RunReport("r", "forecast", selection=selection))).under("What it was trained on")
    assert "9 earlier 45" in told
    assert "2026-11-20 20" in told
    assert "2026-11-09" not in told
    assert "9 more 45" in told
