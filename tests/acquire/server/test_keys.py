from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.delivery.signing import PrivateKey, SharedSecret
from isthmus.acquire.ports import Key
from isthmus.acquire.server.keys import FRESH_S, Keys, Ring, Sessions, digest_of, make
from isthmus.acquire.server.trust import Callbacks, FixedTrust, FolderTrust
from isthmus.core.errors import InputError, Refused

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def test_a_key_is_told_once_and_stored_as_its_digest_alone() -> None:
    text, key = make("alice", "client", "", NOW)
    assert text not in repr(key)
    assert key.digest == digest_of(text)
    assert len(text) > 40
    assert Ring.of([key]).of_text(text) == key
    assert make("alice", "client", "", NOW)[0] != text


@given(st.text(max_size=300))
def test_no_other_text_opens_anything(text: str) -> None:
    _, key = make("alice", "client", "", NOW)
    assert Ring.of([key]).of_text(text) is None


@pytest.mark.parametrize(
    ("name", "role", "environment"),
    [("", "client", ""), ("a b", "client", ""), ("a", "king", ""), ("a", "agent", ""), ("a", "client", "video"),
     ("a", "agent", "Video!")],
)  # fmt: skip
def test_keys_that_make_no_sense_are_not_made(name: str, role: str, environment: str) -> None:
    with pytest.raises(InputError):
        make(name, role, environment, NOW)


def test_a_revoked_key_opens_nothing_here_at_once_and_elsewhere_soon() -> None:
    text, key = make("alice", "client", "", NOW)
    stored, time = [key], [0.0]
    here, there = (Keys(lambda: list(stored), lambda: time[0]) for _ in range(2))
    for keys in (here, there):
        assert keys.refresh().of_text(text) == key
        assert keys.fresh
    stored[0] = Key("alice", "client", key.digest, "", NOW, NOW)
    here.changed(revoked="alice")
    assert here.ring.of_text(text) is None
    assert not here.fresh
    assert there.ring.of_text(text) == key
    time[0] += FRESH_S
    assert not there.fresh
    assert there.refresh().of_text(text) is None


def test_for_a_key_that_is_not_known_the_keys_are_read_again_but_not_at_every_call() -> None:
    time = [100.0]
    keys = Keys(list, lambda: time[0])
    assert keys.news_in_s(asked=100.0) == 0
    keys.refresh()
    assert keys.news_in_s(asked=99.9) is None, "the call is older than what was read"
    time[0] = 100.125
    assert keys.news_in_s(asked=100.125) == pytest.approx(0.075)
    time[0] = 101.0
    assert keys.fresh
    assert keys.news_in_s(asked=101.0) == 0


def test_what_was_read_while_a_key_was_revoked_is_not_believed() -> None:
    text, key = make("alice", "client", "", NOW)

    def read() -> list[Key]:
        keys.changed(revoked="alice")
        return [key]

    keys = Keys(read)
    keys.refresh()
    assert keys.ring.of_text(text) is None
    assert not keys.fresh


def test_a_session_holds_for_its_key_its_time_and_its_server() -> None:
    _, key = make("alice", "client", "", NOW)
    ring, sessions = Ring.of([key]), Sessions(b"secret", 60)
    token = sessions.make(key, NOW)
    assert sessions.key(token, ring, NOW) == key
    assert sessions.key(token, ring, NOW + timedelta(seconds=61)) is None
    assert sessions.key(token, Ring.of([]), NOW) is None
    assert Sessions(b"another", 60).key(token, ring, NOW) is None
    _, renewed = make("alice", "operator", "", NOW)
    assert sessions.key(token, Ring.of([renewed]), NOW) is None


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda some: some.decode("latin-1")))
def test_no_other_token_is_a_session(token: str) -> None:
    _, key = make("alice", "client", "", NOW)
    assert Sessions(b"secret", 60).key(token, Ring.of([key]), NOW) is None


def test_callbacks_differ_by_environment_and_by_secret() -> None:
    one, two = Callbacks(b"1" * 32), Callbacks(b"2" * 32)
    assert one.right("video", one.token("video"))
    assert not one.right("video", one.token("intranet"))
    assert not one.right("video", two.token("video"))
    assert not one.right("video", "ü")
    assert len(one.token("video")) == 43


def test_a_folder_of_keys_is_read_again_when_it_changes(tmp_path) -> None:  # type: ignore[no-untyped-def]
    first, second, private = SharedSecret.create(), SharedSecret.create(), PrivateKey.create()
    trust, file = FolderTrust(tmp_path), tmp_path / "video"
    with pytest.raises(Refused):
        trust.checkers("video")
    with pytest.raises(Refused):
        trust.checkers("../video")
    file.write_text(first.text() + "\n")
    with pytest.raises(Refused, match="read by others"):
        trust.checkers("video")
    file.chmod(0o600)
    (only,) = trust.checkers("video")
    assert only.matches(b"x", first_signature(first))
    file.write_text(f"{first.text()}\n{second.text()}\n")
    assert len(trust.checkers("video")) == 2
    file.write_text("\n".join([first.text()] * 3))
    with pytest.raises(InputError, match="3 keys"):
        trust.checkers("video")
    (tmp_path / "intranet").write_text(private.public.text())
    assert trust.checkers("intranet")[0].version == "v1a"
    with pytest.raises(Refused):
        FixedTrust({"video": []}).checkers("video")


def first_signature(secret: SharedSecret) -> bytes:
    import base64

    return base64.b64decode(secret.sign(b"x").partition(",")[2])
