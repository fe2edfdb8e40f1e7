from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.delivery import signing
from isthmus.acquire.delivery.signing import (
    PrivateKey,
    PublicKey,
    SharedSecret,
    checker_of,
    headers,
    signer_of,
    verify,
)
from isthmus.core.errors import InputError, IsthmusError, Refused

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DIGEST = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
SECRET = SharedSecret(bytes(range(32)))
PRIVATE = PrivateKey(bytes(range(32)))


def test_the_signatures_are_these_forever() -> None:
    shared = headers(SECRET, DIGEST, NOW, "msg_1")
    assert shared == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1772366400",
        "webhook-signature": "v1,N5WwvOWLTZVH+nhMlUMH3WeqV325JLfFJo99kyUcwo4=",
        "isthmus-digest": DIGEST,
    }
    assert headers(PRIVATE, DIGEST, NOW, "msg_1")["webhook-signature"] == (
        "v1a,7f8rnDxGgvxogGhAIREoe+5w1FAD7MGjlaPQj0elM7CHAXdp3KEKH3PSDqNa6Xb2EFxMxtYw7KsfPJiiZBhZBg=="
    )
    assert SECRET.text() == "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert PRIVATE.text() == "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    assert PRIVATE.public.text() == "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


def test_hmac_is_the_one_of_the_published_form() -> None:
    import hashlib
    import hmac

    expected = hmac.new(bytes(range(32)), f"msg_1.1772366400.{DIGEST}".encode(), hashlib.sha256).digest()
    assert (
        headers(SECRET, DIGEST, NOW, "msg_1")["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    )


@pytest.mark.parametrize(("signer", "checker"), [(SECRET, SECRET), (PRIVATE, PRIVATE.public)])
def test_who_has_the_key_is_believed_within_five_minutes_either_way(
    signer: SharedSecret | PrivateKey, checker: SharedSecret | PublicKey
) -> None:
    made = headers(signer, DIGEST, NOW)
    for off in (-300, 0, 300):
        signed = verify([checker], made, NOW + timedelta(seconds=off))
        assert (signed.digest, signed.at) == (DIGEST, NOW)
    for off in (-301, 301):
        with pytest.raises(Refused):
            verify([checker], made, NOW + timedelta(seconds=off))


def test_two_keys_count_during_a_rotation_and_several_signatures_may_come() -> None:
    old, new, other = SharedSecret.create(), SharedSecret.create(), SharedSecret.create()
    by_old, by_new = headers(old, DIGEST, NOW, "m"), headers(new, DIGEST, NOW, "m")
    assert verify([old, new], by_old, NOW) == verify([new, old], by_new, NOW)
    both = by_old | {signing.SIGNATURE: f"v2,xx {by_old[signing.SIGNATURE]} {by_new[signing.SIGNATURE]} v1a,AAAA"}
    assert verify([new], both, NOW).id == "m"
    assert verify([PRIVATE.public, old], both, NOW).id == "m"
    with pytest.raises(Refused):
        verify([other], both, NOW)
    for keys in ([], [old, new, other]):
        with pytest.raises(InputError):
            verify(keys, both, NOW)


@given(st.sampled_from([signing.ID, signing.TIMESTAMP, signing.SIGNATURE, signing.DIGEST]), st.text(max_size=200))
def test_any_other_header_is_refused_without_an_echo(name: str, value: str) -> None:
    made = headers(SECRET, DIGEST, NOW, "msg_1")
    if value == made[name]:
        return
    with pytest.raises(Refused) as caught:
        verify([SECRET], made | {name: value}, NOW)
    line = str(caught.value)
    assert "\n" not in line
    assert SECRET.text() not in line and made[signing.SIGNATURE] not in line


@pytest.mark.parametrize("name", [signing.ID, signing.TIMESTAMP, signing.SIGNATURE, signing.DIGEST])
def test_a_missing_header_is_refused(name: str) -> None:
    made = headers(SECRET, DIGEST, NOW)
    del made[name]
    with pytest.raises(Refused):
        verify([SECRET], made, NOW)


def test_a_signature_of_one_kind_never_passes_as_the_other() -> None:
    raw = PRIVATE.public.text().removeprefix("whpk_")
    confused = SharedSecret(base64.b64decode(raw))  # whoever knows the public key signs with it as if shared
    made = headers(confused, DIGEST, NOW)
    with pytest.raises(Refused):
        verify([PRIVATE.public], made, NOW)
    with pytest.raises(Refused):
        verify([PRIVATE.public], made | {signing.SIGNATURE: made[signing.SIGNATURE].replace("v1,", "v1a,")}, NOW)


@given(st.text(max_size=80))
def test_texts_that_are_no_keys_are_refused_without_an_echo(text: str) -> None:
    for prefix in ("", "whsec_", "whsk_", "whpk_"):
        for read in (signer_of, checker_of):
            try:
                read(prefix + text)
            except IsthmusError as error:
                assert len(text) < 12 or text not in str(error)


def test_keys_go_to_text_and_back_and_never_show_in_reprs() -> None:
    for one in (SharedSecret.create(), PrivateKey.create()):
        again = signer_of(one.text())
        assert again.sign(b"x") == one.sign(b"x")
        assert one.text() not in repr(one) and one.text()[6:] not in repr(one)
    assert checker_of(PRIVATE.public.text()).matches(b"x", base64.b64decode(PRIVATE.sign(b"x")[4:]))
