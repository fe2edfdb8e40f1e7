from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.app.chapters import Chapter, Happened
from isthmus.app.recovery.demo import tell_recovery


@pytest.mark.soak
def test_the_story_of_recovery_ends_with_both_sites_level(tmp_path: Path) -> None:
    told = list(tell_recovery(tmp_path / "recovery"))
    assert sum(isinstance(one, Chapter) for one in told) == 4
    said = {one.what: one.result for one in told if isinstance(one, Happened)}
    assert said["kept aside"].startswith("main.quarantine.loop_scenes_")
    assert said["verify"].startswith("all tables (2) are as ")
    assert said["primary"].startswith("north is the primary again; both have ")
