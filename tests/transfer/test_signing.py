from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bundle_making import KEY, OTHER_KEY
from isthmus.core.errors import InputError, Refused
from isthmus.transfer.signing import PublicKey, SigningKey, signed_form


def test_the_first_test_vector_of_rfc_8032_holds() -> None:
    secret = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = SigningKey(Ed25519PrivateKey.from_private_bytes(secret))
    assert key.public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = key.sign(b"")
    assert signature.hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2"
        "4655141438e7a100b"
    )
    key.public.verify(signature, b"")


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=200))
def test_a_signature_holds_for_what_was_signed_and_nothing_else(content: bytes, other: bytes) -> None:
    signature = KEY.sign(content)
    KEY.public.verify(signature, content)
    for key, found, said in (
        (OTHER_KEY.public, signature, content),
        (KEY.public, signature, content + other),
        (KEY.public, signature[:-1], content),
        (KEY.public, other, content),
    ):
        with pytest.raises(Refused):
            key.verify(found, said)


@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.binary(max_size=20), max_size=4))
def test_two_lists_of_parts_are_never_signed_alike(one: list[bytes], other: list[bytes]) -> None:
    assert (signed_form("a", *one) == signed_form("a", *other)) == (one == other)
    assert signed_form("a", *one) != signed_form("b", *one)


@given(st.binary(min_size=32, max_size=32))
def test_a_public_key_is_read_as_it_was_written(raw: bytes) -> None:
    key = PublicKey(raw)
    assert PublicKey.of_text(str(key)) == key
    assert len({key, PublicKey.of_text(str(key))}) == 1
    assert len(key.fingerprint) == 16


def test_a_public_key_has_one_way_of_writing_only() -> None:
    text = str(KEY.public)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = text[:-2] + alphabet[alphabet.index(text[-2]) ^ 1] + "="
    assert base64.b64decode(twin[8:]) == KEY.public.raw, "the bit that differs means nothing to base64"
    for wrong in (
        twin,
        text[:-1],
        text[8:],
        "ED25519:" + text[8:],
        text + "\n",
        text.replace("=", ""),
        "",
        "ed25519:é",
    ):
        with pytest.raises(InputError, match="no public key"):
            PublicKey.of_text(wrong)


def test_a_saved_key_is_for_its_owner_alone_and_loads_again(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "signing.pem"
    KEY.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["signing.pem"]
    assert SigningKey.load(path).public == KEY.public
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    KEY.save(path)
    with pytest.raises(InputError, match="exists already"):
        OTHER_KEY.save(path)
    assert SigningKey.load(path).public == KEY.public
    assert [file.name for file in tmp_path.iterdir()] == ["signing.pem"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "signing.pem"
    KEY.save(path)
    path.chmod(mode)
    with pytest.raises(Refused, match="chmod 600"):
        SigningKey.load(path)


def test_what_is_no_ed25519_key_is_told(tmp_path: Path) -> None:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    own = Ed25519PrivateKey.generate()
    for content, words in (
        (b"", "no unencrypted private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no unencrypted private key"),
        (own.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"x")), "no unencrypted private key"),
        (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, serialization.NoEncryption()),
            "of another kind",
        ),
    ):
        path = tmp_path / "signing.pem"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(InputError, match=words):
            SigningKey.load(path)
    for missing in (tmp_path / "none.pem", tmp_path):
        with pytest.raises(InputError, match="no signing key"):
            SigningKey.load(missing)


def test_a_key_shows_its_fingerprint_and_not_its_secret() -> None:
    assert repr(KEY) == f"SigningKey({KEY.public.fingerprint})"
    assert SigningKey.create().public != SigningKey.create().public
