"""What [gallery] says of images holds on both sides of the gate."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from isthmus.app.galleries.inner import Inner
from isthmus.app.galleries.outer import Outer
from isthmus.core.errors import InputError
from isthmus.gallery.record import Held
from isthmus.transfer.signing import SigningKey


def picture(side: int) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((side, side), 80).save(out, "PNG")
    return out.getvalue()


def site(folder: Path, role: str, more: str) -> Path:
    folder.mkdir()
    path = folder / "isthmus.toml"
    path.write_text(f'[site]\nname = "{role}"\n[gallery]\nrole = "{role}"\n{more}')
    return path


@pytest.mark.parametrize(
    ("limit", "reason"), [("megapixels = 0.01", "pixels"), ("image_mb = 0.01", "bytes")], ids=["pixels", "bytes"]
)
def test_larger_images_are_refused_before_they_enter_and_where_they_arrive(
    tmp_path: Path, limit: str, reason: str
) -> None:
    SigningKey.create().save(tmp_path / "gate.pem")
    gate = '[gate]\nfolder = "../gate"\nkey = "../gate.pem"\ncut_s = 0\n'
    (tmp_path / "gate").mkdir()
    strict = Inner.open(site(tmp_path / "strict", "inner", limit))
    strict.site.add("galleries.staff", "small", picture(60))
    with pytest.raises(InputError, match=reason):
        strict.site.add("galleries.staff", "large", picture(300))

    inner = Inner.open(site(tmp_path / "inner", "inner", gate))
    inner.site.add("galleries.staff", "small", picture(60))
    inner.site.add("galleries.staff", "large", picture(300))
    list(inner.sending(watch=False))
    public = SigningKey.load(tmp_path / "gate.pem").public
    trust = f'{limit}\n[gate]\nfolder = "../gate"\ntrust = ["{public}"]\n'
    outer = Outer.open(site(tmp_path / "outer", "outer", trust))
    list(outer.receiving(watch=False))
    assert outer.set.position() == inner.set.position(), "what is refused counts in the digest all the same"
    found = {record.key: record for record in outer.set.records("galleries.staff")}
    assert sorted(record.refused is None for record in found.values()) == [False, True]
    assert all(isinstance(record.image, Held) for record in found.values())
