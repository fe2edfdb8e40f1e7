from __future__ import annotations

from pathlib import Path

import pytest

from recovery_sites import batch, pair, published


@pytest.mark.parametrize("there", [(), ("--rows",)])
@pytest.mark.parametrize("here", [(), ("--rows",)])
def test_equal_sites_are_told_equal_however_deep_either_of_them_looked(
    tmp_path: Path, there: tuple[str, ...], here: tuple[str, ...]
) -> None:
    north, south = pair(tmp_path)
    published(north)
    north.table().append([batch(ada=1, ben=2)])
    north.run("backup")
    south.run("restore")
    assert "all tables (1)" in north.run("verify", *there).stderr
    south.run("restore")
    told = south.run("verify", *here).stderr
    assert "all tables (1)" in told
    assert ("the sums of north" in told) == bool(there)
