"""What the inner site does by itself while it sends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from isthmus.app.galleries.config import read_gallery_config
from isthmus.app.galleries.inner import Inner
from isthmus.core.errors import Busy
from isthmus.transfer.signing import SigningKey
from samples import SAMPLES, needs_samples


class _Clock:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


@needs_samples
def test_the_image_of_a_removed_person_leaves_the_inner_site_and_its_outbox_in_time(tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    SigningKey.create().save(tmp_path / "gate.pem")
    (tmp_path / "isthmus.toml").write_text(
        '[site]\nname = "inner"\n[gallery]\nrole = "inner"\nremoved_hours = 24\n'
        '[gate]\nfolder = "gate"\nkey = "gate.pem"\ncut_s = 0\nkeep_days = 1\n'
    )
    clock = _Clock()
    inner = Inner(read_gallery_config(tmp_path / "isthmus.toml"), clock)
    photo = SAMPLES / "faces/caltech/person_00/image_0001.jpg"
    inner.site.add("galleries.staff", "p0", photo.read_bytes())
    list(inner.sending(watch=False))
    inner.site.remove("galleries.staff", "p0")
    list(inner.sending(watch=False))
    images = [path for path in (tmp_path / "state" / "images").rglob("*") if path.stat().st_size > 1000]
    assert images, "receivers that are behind may still ask for it"
    clock.at += timedelta(hours=25)
    list(inner.sending(watch=False))
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    content = photo.read_bytes()[1000:1400]
    assert not [path for path in left if content in path.read_bytes()]
    assert not list((tmp_path / "state" / "outbox").glob("*000000000001.tar"))


def test_a_watch_waits_while_a_person_sends_again_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "gate").mkdir()
    SigningKey.create().save(tmp_path / "gate.pem")
    (tmp_path / "isthmus.toml").write_text(
        '[site]\nname = "inner"\n[gallery]\nrole = "inner"\n[gate]\nfolder = "gate"\nkey = "gate.pem"\n'
    )
    inner = Inner(read_gallery_config(tmp_path / "isthmus.toml"), _Clock())
    steps: list[str] = []

    def step() -> list[str]:
        steps.append("tried")
        if len(steps) == 1:
            raise Busy("sending is already under way", "wait for it to finish")
        return ["sent"]

    inner.outbound.step = step  # type: ignore[method-assign]
    assert next(inner.sending(watch=True)) == "sent"
    assert len(steps) == 2
    steps.clear()
    with pytest.raises(Busy):
        next(inner.sending(watch=False))
