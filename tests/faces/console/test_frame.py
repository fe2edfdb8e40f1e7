from __future__ import annotations

from pathlib import Path

from hub_making import flaws, made_hub


def test_the_pages_of_the_frame_are_well_formed(tmp_path: Path) -> None:
    made = made_hub(tmp_path)
    made.works.start("recovery verify", {"rows": "true"}, made.guard.person)
    client = made.client()
    for place in ("/", "/work", "/work/w1"):
        answer = client.get(place)
        assert answer.status_code == 200
        assert flaws(answer.text) == []
