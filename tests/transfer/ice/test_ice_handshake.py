"""What is signed, and that nothing else is accepted in its place."""

from __future__ import annotations

import json
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import Corrupt, Refused
from isthmus.transfer.ice import handshake, sdp
from isthmus.transfer.ice.handshake import MOST_SIGNAL_BYTES, Answer, Hello, Offer, Refusal
from isthmus.transfer.signing import SigningKey

PRINT = ":".join(["0F"] * 32)
GOOD = (
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
    f"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {PRINT}\r\na=setup:actpass\r\n"
    "a=candidate:1 1 udp 2122194687 192.0.2.7 40000 typ host\r\n"
    "a=candidate:2 1 udp 1686052607 198.51.100.7 40000 typ srflx raddr 192.0.2.7 rport 40000\r\n"
)
DEVICE, SERVER, STRANGER = SigningKey.create(), SigningKey.create(), SigningKey.create()


@dataclass(frozen=True)
class Exchange:
    hello: Hello
    offer: Offer
    answer: Answer


def exchange() -> Exchange:
    greeting = handshake.hello()
    offer = handshake.offer(greeting, "gate-7", GOOD, DEVICE, SERVER.public)
    return Exchange(greeting, offer, handshake.answer(greeting, offer, DEVICE.public, GOOD, SERVER))


ONE, TWO = exchange(), exchange()


def known(device: str):  # type: ignore[no-untyped-def]
    return {"gate-7": DEVICE.public, "gate-8": STRANGER.public}.get(device)


def test_an_honest_exchange_is_accepted_on_both_sides() -> None:
    offer = handshake.read(handshake.write(ONE.offer), Offer)
    assert handshake.check_offer(ONE.hello, offer, known, SERVER.public) == DEVICE.public
    reply = handshake.read_reply(handshake.write(ONE.answer))
    assert handshake.check_answer(ONE.hello, ONE.offer, DEVICE.public, reply, SERVER.public) == GOOD


@given(st.sampled_from(["device", "nonce", "sdp", "signature"]), st.integers(0, 10_000), st.integers(1, 127))
def test_an_offer_of_which_one_byte_is_other_is_refused(field: str, place: int, flip: int) -> None:
    was = getattr(ONE.offer, field)
    content = bytearray(was.encode() if isinstance(was, str) else was)
    content[place % len(content)] ^= flip
    now = bytes(content).decode("latin-1") if isinstance(was, str) else bytes(content)
    offer = msgspec.structs.replace(ONE.offer, **{field: now})
    with pytest.raises(Refused):
        handshake.check_offer(ONE.hello, offer, known, SERVER.public)


@given(st.sampled_from(["sdp", "signature"]), st.integers(0, 10_000), st.integers(1, 127))
def test_an_answer_of_which_one_byte_is_other_is_refused(field: str, place: int, flip: int) -> None:
    was = getattr(ONE.answer, field)
    content = bytearray(was.encode() if isinstance(was, str) else was)
    content[place % len(content)] ^= flip
    now = bytes(content).decode("latin-1") if isinstance(was, str) else bytes(content)
    answer = msgspec.structs.replace(ONE.answer, **{field: now})
    with pytest.raises(Refused):
        handshake.check_answer(ONE.hello, ONE.offer, DEVICE.public, answer, SERVER.public)


def test_an_offer_is_worth_nothing_in_a_later_exchange() -> None:
    with pytest.raises(Refused):
        handshake.check_offer(TWO.hello, ONE.offer, known, SERVER.public)


def test_an_offer_meant_for_one_server_is_worth_nothing_at_another() -> None:
    """Even where that other server hands on the first one's nonce."""
    with pytest.raises(Refused):
        handshake.check_offer(ONE.hello, ONE.offer, known, STRANGER.public)


def test_an_offer_under_the_name_of_another_device_is_refused() -> None:
    offer = handshake.offer(ONE.hello, "gate-8", GOOD, DEVICE, SERVER.public)
    with pytest.raises(Refused, match="not signed by device 'gate-8'"):
        handshake.check_offer(ONE.hello, offer, known, SERVER.public)


def test_an_unknown_or_revoked_device_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="'gate-7' is unknown or revoked"):
        handshake.check_offer(ONE.hello, ONE.offer, lambda _: None, SERVER.public)


def test_an_answer_is_worth_nothing_for_another_offer_or_another_device() -> None:
    for greeting, offer, device in (
        (TWO.hello, TWO.offer, DEVICE.public),
        (ONE.hello, TWO.offer, DEVICE.public),
        (ONE.hello, ONE.offer, STRANGER.public),
    ):
        with pytest.raises(Refused, match="not signed by the server"):
            handshake.check_answer(greeting, offer, device, ONE.answer, SERVER.public)


def test_an_answer_of_another_server_is_refused() -> None:
    answer = handshake.answer(ONE.hello, ONE.offer, DEVICE.public, GOOD, STRANGER)
    with pytest.raises(Refused, match="somebody stands between"):
        handshake.check_answer(ONE.hello, ONE.offer, DEVICE.public, answer, SERVER.public)


def test_a_signature_of_an_offer_is_none_of_an_answer() -> None:
    answer = Answer(ONE.offer.sdp, ONE.offer.signature)
    with pytest.raises(Refused):
        handshake.check_answer(ONE.hello, ONE.offer, DEVICE.public, answer, DEVICE.public)


def test_a_refusal_is_told_with_its_reason() -> None:
    reply = handshake.read_reply(handshake.write(Refusal("no")))
    with pytest.raises(Refused, match="the server refused the connection: no"):
        handshake.check_answer(ONE.hello, ONE.offer, DEVICE.public, reply, SERVER.public)


def test_another_version_of_the_signalling_is_told() -> None:
    with pytest.raises(Corrupt, match="version 2"):
        handshake.offer(Hello(2, bytes(32)), "gate-7", GOOD, DEVICE, SERVER.public)


def test_a_signed_description_of_anything_but_a_data_channel_is_corrupt() -> None:
    offer = handshake.offer(ONE.hello, "gate-7", GOOD + "m=audio 9 RTP/AVP 0\r\n", DEVICE, SERVER.public)
    with pytest.raises(Corrupt, match="2 media"):
        handshake.check_offer(ONE.hello, offer, known, SERVER.public)


WHOLE = json.loads(handshake.write(ONE.offer))


MALFORMED = [
    "",
    "{",
    "[]",
    "null",
    "[" * (MOST_SIGNAL_BYTES - 1),
    '{"a":' * 13_000,
    json.dumps({"kind": "hello", "version": 1, "nonce": "AA=="}),
    json.dumps(WHOLE | {"kind": "answer"}),
    json.dumps(WHOLE | {"more": 1}),
    json.dumps(WHOLE | {"device": ""}),
    json.dumps(WHOLE | {"device": "x" * 201}),
    json.dumps(WHOLE | {"device": 7}),
    json.dumps(WHOLE | {"device": None}),
    json.dumps(WHOLE | {"signature": WHOLE["nonce"]}),
    json.dumps(WHOLE | {"signature": "not base64"}),
    json.dumps(WHOLE | {"sdp": "x" * (sdp.MOST_SDP_BYTES + 1)}),
    json.dumps(WHOLE | {"sdp": "x" * MOST_SIGNAL_BYTES}),
    json.dumps({key: value for key, value in WHOLE.items() if key != "nonce"}),
    '{"kind":"offer","device":"\\ud800","nonce":"","sdp":"","signature":""}',
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_or_oversized_message_is_corrupt(text: str) -> None:
    with pytest.raises(Corrupt):
        handshake.read(text, Offer)


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_whatever_comes_is_a_message_or_corrupt(text: str) -> None:
    for reading in (lambda: handshake.read(text, Offer), lambda: handshake.read_reply(text)):
        try:
            reading()
        except Corrupt:
            continue
        raise AssertionError(f"{text!r} was taken for a message")


def test_a_whole_description_is_read() -> None:
    sdp.check(GOOD)
    assert sdp.fingerprints(GOOD) == {PRINT}
    assert sdp.told(sdp.candidates(GOOD)) == "1 host, 1 srflx"
    assert sdp.told(sdp.candidates("v=0")) == "none"


FOREIGN = [
    ("", "v=0"),
    (GOOD.replace("v=0", "v=1"), "v=0"),
    (GOOD.replace(f"a=fingerprint:sha-256 {PRINT}\r\n", ""), "without a SHA-256 fingerprint"),
    (GOOD.replace("sha-256", "sha-1"), "not a whole SHA-256"),
    (GOOD.replace(PRINT, PRINT[:-3]), "not a whole SHA-256"),
    (GOOD + "a=fingerprint:md5 00:11\r\n", "not a whole SHA-256"),
    (GOOD.replace("m=application", "m=video"), "one data channel"),
    (GOOD.replace("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", ""), "0 media"),
    (GOOD + "a=candidate:1 1 udp 1 192.0.2.7 1 typ host\r\n" * 70, "candidates"),
    (GOOD + "a=x:" + "x" * sdp.MOST_SDP_BYTES, "more than"),
    (GOOD + "a=ü\r\n", "ASCII"),
    (GOOD + "a=\0\r\n", "ASCII"),
    (GOOD + "a=\ud800\r\n", "ASCII"),
]


@pytest.mark.parametrize(("description", "why"), FOREIGN, ids=range(len(FOREIGN)))
def test_a_description_of_anything_else_is_corrupt(description: str, why: str) -> None:
    with pytest.raises(Corrupt, match=why):
        sdp.check(description)


@given(st.text())
def test_no_text_makes_the_judge_of_descriptions_stumble(text: str) -> None:
    for whole in (text, GOOD + text, GOOD + "a=candidate:" + text, GOOD + "a=fingerprint:" + text):
        try:
            sdp.check(whole)
        except Corrupt:
            continue
        assert whole.startswith("v=0")
        sdp.candidates(whole)
