"""An outer site whose set 2 lies in MongoDB does what one with an embedded set does."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.app.galleries import outer as wiring
from isthmus.app.galleries.config import read_gallery_config
from isthmus.app.galleries.inner import Inner
from isthmus.app.galleries.outer import Outer
from isthmus.core.errors import ConfigError, InputError
from isthmus.gallery.store.mongo import MongoSet
from isthmus.transfer.signing import SigningKey


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_set_2_may_lie_in_mongodb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mongomock = pytest.importorskip("mongomock")
    key = SigningKey.create()
    key.save(tmp_path / "inner" / "gate.pem")
    inner = Inner.open(
        _write(
            tmp_path / "inner" / "isthmus.toml",
            '[site]\nname = "inner"\n[gallery]\nrole = "inner"\n[gate]\nfolder = "../gate"\n'
            'key = "gate.pem"\ncut_s = 0\n',
        )
    )
    inner.site.add(inner.part.namespace("staff"), "p1", None, {"duty": "gate"})
    (tmp_path / "gate").mkdir()
    list(inner.sending(watch=False))
    config = _write(
        tmp_path / "outer" / "isthmus.toml",
        '[site]\nname = "outer"\n[gallery]\nrole = "outer"\nmongodb_env = "URI"\n[gate]\nfolder = "../gate"\n'
        f'trust = ["{key.public}"]\n',
    )
    client = mongomock.MongoClient()

    def mock(uri: str) -> object:
        assert uri == "mongodb://there"
        return client

    monkeypatch.setenv("URI", "mongodb://there")
    monkeypatch.setattr(wiring, "mongo_client", mock)
    monkeypatch.setattr(
        wiring, "MongoSet", lambda *words, **named: MongoSet(*words, **named, transactions=False, codec=None)
    )
    outer = Outer.open(config)
    list(outer.receiving(watch=False))
    assert outer.inbound.status().standing == inner.set.position()
    assert client["galleries"]["staff"].find_one() == {"_id": "p1", "duty": "gate"}
    assert outer.set.quarantined() == []
    with pytest.raises(InputError, match="follows the gate"):
        outer.feed("file")


def test_a_place_of_mongodb_that_cannot_be_meant_is_a_mistake(tmp_path: Path) -> None:
    text = '[site]\nname = "x"\n[gallery]\nrole = "inner"\nmongodb_env = "URI"\n'
    with pytest.raises(ConfigError, match="set 1 is embedded"):
        read_gallery_config(_write(tmp_path / "isthmus.toml", text))


def test_a_uri_that_is_none_is_told_without_showing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[site]\nname = "x"\n[gallery]\nrole = "outer"\nmongodb_env = "URI"\n'
    monkeypatch.setenv("URI", "s3cret")
    with pytest.raises(InputError, match="holds no URI") as caught:
        _ = Outer.open(_write(tmp_path / "isthmus.toml", text)).set
    assert "s3cret" not in str(caught.value)
