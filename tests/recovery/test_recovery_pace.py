from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.core.position import Position
from isthmus.recovery.pace import rate_of
from isthmus.transfer.memory import MemoryCarrier
from isthmus.transfer.outbound import Outbound, OutboundSettings
from primary_site import SIGNER, A, Primary, batch, filled


@pytest.mark.parametrize("parallel", [1, 3])
def test_how_fast_a_round_is_packed_and_sent_is_known_of_all_its_parts(tmp_path: Path, parallel: int) -> None:
    site = Primary(tmp_path, part_bytes=4000)
    table = filled(site.catalog, A, 200)
    sender = Outbound(
        site.store,
        tmp_path / "outbox",
        site.backup.source,
        MemoryCarrier(),
        SIGNER,
        "north",
        site.clock,
        OutboundSettings(cut_s=0.0, carousel_s=0.0, heartbeat_s=0.0, parallel=parallel),
        paced=lambda row, what, seconds: site.backup.paces.note(row.until, what, seconds),
    )
    for number in range(2):
        found = site.backup.round()
        assert found is not None
        while sender.step():
            pass
        pace = site.backup.paces.of(found.key)
        assert pace.keys() == {"packed", "sent"}
        for what, (size, seconds) in pace.items():
            assert size == found.bytes > 0
            assert rate_of(pace, what) == pytest.approx(size / seconds)
        table.append([batch(range(1000 + 10 * number, 1010 + 10 * number))])
        site.clock.forward(60)


def test_of_a_round_that_was_not_sent_and_of_what_is_no_part_nothing_is_known(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A, 20)
    found = site.backup.round()
    assert found is not None
    paces, mark = site.backup.paces, site.backup.source.snapshot().until
    paces.note(mark, "sent", 1.0)
    paces.note(Position(7, 7), "sent", 1.0)
    assert paces.of(found.key) == {}
    assert rate_of(paces.of(found.key), "sent") == 0.0


def test_what_took_several_times_adds_up(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A, 20)
    found = site.backup.round()
    assert found is not None
    last = site.backup.source.position()
    for _ in range(2):
        site.backup.paces.note(last, "sent", 0.5)
    assert site.backup.paces.of(found.key) == {"sent": (2 * found.bytes, 1.0)}
