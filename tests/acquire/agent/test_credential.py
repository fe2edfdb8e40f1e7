from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from isthmus.acquire.agent.credential import FORMAT, Credential, check, load, origin
from isthmus.acquire.delivery.signing import PrivateKey, SharedSecret
from isthmus.core.errors import InputError, Refused

SECRET = SharedSecret(bytes(range(32)))
GOOD = Credential(FORMAT, "https://images.example:8443/acquire", "north", "k" * 40, SECRET.text())


def test_a_credential_goes_to_its_file_and_back_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "here" / "north.json"
    GOOD.save(path)
    assert load(path) == GOOD
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="exists"):
        GOOD.save(path)
    path.chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        load(path)


def test_what_is_not_right_is_told_in_one_line_without_a_secret(tmp_path: Path) -> None:
    for field, value in (
        ("format", "isthmus agent credential 9"),
        ("server", "ftp://images.example"),
        ("server", "https://user:pass@images.example"),
        ("server", "http://images.example"),
        ("server", "https://images.example/?a=b"),
        ("server", "https://images.example:99999"),
        ("environment", "North Side"),
        ("key", "short"),
        ("key", "with space in the middle of it"),
        ("signing", "whsec_short"),
        ("signing", "something"),
        ("pin", "abc"),
        ("deliver_to", ("http://elsewhere.example",)),
    ):
        wrong = msgspec.structs.replace(GOOD, **{field: value})
        with pytest.raises(InputError) as caught:
            check(wrong)
        line = str(caught.value)
        assert "\n" not in line
        assert GOOD.key not in line and GOOD.signing not in line and "pass" not in line
    check(msgspec.structs.replace(GOOD, server="http://images.example", plain=True))
    for here in ("http://127.0.0.1:80", "http://localhost", "http://[::1]:80"):
        check(msgspec.structs.replace(GOOD, server=here))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": "secret-secret"}', b"\xff\xfe", b'{"a": 1}'])
def test_a_file_that_is_no_credential_is_refused_without_an_echo(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "credential"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError) as caught:
        load(path)
    assert "secret-secret" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError):
        load(tmp_path / "none")


def test_secrets_do_not_show() -> None:
    assert GOOD.key not in repr(GOOD) and GOOD.signing not in repr(GOOD)
    assert GOOD.signer().sign(b"x") == SECRET.sign(b"x")
    private = PrivateKey.create()
    assert isinstance(msgspec.structs.replace(GOOD, signing=private.text()).signer(), PrivateKey)


def test_origins_are_compared_whole() -> None:
    assert origin("https://a.example/x?y") == origin("https://A.example:443") == "https://a.example:443"
    assert origin("http://[::1]:8080/") == "http://[::1]:8080"
    for none in ("", "a.example", "file:///etc", "https://", "https://a:b", "https://[::1"):
        assert origin(none) == ""
    assert GOOD.origins() == {"https://images.example:8443"}
