"""Every state that a pair's site may be in has its pages: what is seen is given, nothing is read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hub_making import BEGUN, flaws, made_hub
from isthmus.app.views.recovery import (
    ActionSeen,
    AlarmSeen,
    DrillSeen,
    OtherSeen,
    RecoverySeen,
    RoundSeen,
    TableSeen,
)
from isthmus.app.views.turning import ACTS
from isthmus.faces.console.pages import recovery as pages

BARE = RecoverySeen("north", "south", "gate", "independent", 1, BEGUN)
BEFORE = BEGUN - timedelta(minutes=3)
FULL = RecoverySeen(
    "north", "south", "http", "standby", 3, BEGUN, "the writers wait", "20260501_075900", BEFORE, 61.0, True, True,
    OtherSeen("south", "primary", 3, BEFORE, "20260501_075900", BEFORE, 7, 10**12, "1.0"),
    ActionSeen("backuping", "20260501_075900", "SEND", 0.5, 500, 1000, "", BEFORE),
    ActionSeen("abnormal", "20260501_075900", "VERIFY", 0.0, 0, 1000, "<b>a file is damaged</b>", None),
    (
        RoundSeen("restore", "20260501_075800", "", True, "DROPPED", None, 4, 10, BEFORE, BEFORE, None,
                  "<i>cut</i>"),
        RoundSeen("restore", "20260501_075900", "20260501_075800", False, "FINISH", None, 4, 10, BEFORE, BEFORE,
                  BEGUN, "", 180.0),
    ),
    (), (TableSeen("main.a.b", "", None, None, "<u>has no key</u>"),),
    (DrillSeen("drill-1.json", "north", "20260501_075900", BEGUN, "damaged", 1.5, 10, 1, "<s>not sound</s>"),),
    (AlarmSeen("GAP", "<em>changes are missing</em>", "carry the line", BEFORE),), 7, ("rogue: <x>",),
    "recovery 3 17-19 4EZDHH", 0, 12, ("<p>there is no key</p>",),
)  # fmt: skip
SEEN = {
    "bare": BARE,
    "full": FULL,
    "primary": replace(FULL, role="primary", request="", unsent=3),
    "yielding": replace(FULL, role="yielding", stopped=False),
    "fenced": replace(FULL, role="fenced"),
    "unheard": replace(FULL, other=None, shows="", shows_at=None, behind_s=None),
    "another role": replace(FULL, other=replace(FULL.other, role="independent")),  # type: ignore[type-var]
}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("state", SEEN)
@pytest.mark.parametrize("place", ["", *(f"/{act}" for act in ACTS)])
def test_each_state_has_its_pages_and_nothing_in_it_is_taken_for_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, place: str, language: str
) -> None:
    monkeypatch.setattr(pages, "recovery_of", lambda toml, now: SEEN[state])
    answer = made_hub(tmp_path).client(cookies={"language": language}).get(f"/recovery{place}")
    assert answer.status_code == 200
    assert flaws(answer.text) == []
    for mark in ("<b>a file", "<i>cut", "<u>has", "<s>not", "<em>changes", "<x>", "<p>there"):
        assert mark not in answer.text


def test_moments_are_those_of_the_sites_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "recovery_of", lambda toml, now: FULL)
    toml = '[site]\nname = "north"\ntimezone = "Asia/Shanghai"\n'
    assert f"{BEFORE:%H:%M %Z}" == "07:57 UTC"
    page = made_hub(tmp_path, toml=toml).client().get("/recovery").text
    assert "2026-05-01 15:57:00" in page
    assert 'data-zone="Asia/Shanghai"' in page
