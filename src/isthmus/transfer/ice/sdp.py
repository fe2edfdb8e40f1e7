"""Reads session descriptions (RFC 8866) as far as trust needs it: what is described, fingerprints, candidates.

A description comes from the other end. It is judged here, as text, before an engine sees it: one data channel and
nothing else, a SHA-256 fingerprint of the DTLS certificate (RFC 8122), a bounded number of ICE candidates
(RFC 8839).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from isthmus.core.errors import Corrupt

MOST_SDP_BYTES = 32 * 1024
MOST_CANDIDATES = 64

_SHA256 = re.compile(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}")
_KINDS = ("host", "srflx", "prflx", "relay")


def check(text: str) -> None:
    """Judge a description. Raises Corrupt where it is anything but one data channel over DTLS with SHA-256."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_SDP_BYTES:
        raise Corrupt(f"a session description of more than {MOST_SDP_BYTES} bytes")
    if not text.isascii() or "\0" in text:
        raise Corrupt("a session description that is not plain ASCII text")
    lines = list(_lines(text))
    if not lines or lines[0] != "v=0":
        raise Corrupt("a session description that does not begin with v=0")
    media = [line for line in lines if line.startswith("m=")]
    if len(media) != 1 or not re.fullmatch(r"m=application \d{1,5} UDP/DTLS/SCTP webrtc-datachannel", media[0]):
        raise Corrupt(f"a session description of {len(media)} media where one data channel is expected")
    if not fingerprints(text):
        raise Corrupt("a session description without a SHA-256 fingerprint of the DTLS certificate")
    found = sum(1 for line in lines if line.startswith("a=candidate:"))
    if found > MOST_CANDIDATES:
        raise Corrupt(f"a session description with {found} candidates, more than {MOST_CANDIDATES}")


def fingerprints(text: str) -> frozenset[str]:
    """Return the SHA-256 fingerprints, upper case. Raises Corrupt for one of another or broken form.

    Engines accept a certificate when any fingerprint fits, so a weak hash beside a strong one is refused too; of
    SHA-384 and SHA-512, which are as good, nothing more is asked.
    """
    found = set()
    for line in _lines(text):
        if not line.lower().startswith("a=fingerprint:"):
            continue
        kind, _, value = line[len("a=fingerprint:") :].strip().partition(" ")
        if kind.lower() in ("sha-384", "sha-512"):
            continue
        if kind.lower() != "sha-256" or not _SHA256.fullmatch(value.strip().upper()):
            raise Corrupt(f"a DTLS fingerprint that is not a whole SHA-256: {kind[:16]!r}")
        found.add(value.strip().upper())
    return frozenset(found)


def candidates(text: str) -> Counter[str]:
    """Count the ICE candidates by kind: host, srflx, prflx, relay."""
    counted: Counter[str] = Counter()
    for line in _lines(text):
        if line.startswith("a=candidate:") and (kind := re.search(r" typ (\w+)", line)):
            counted[kind[1]] += 1
    return counted


def told(counted: Counter[str]) -> str:
    """Say the counts of candidates in words: `2 host, 1 relay`, or `none`."""
    return ", ".join(f"{counted[kind]} {kind}" for kind in _KINDS if counted[kind]) or "none"


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if line := line.strip("\r"):
            yield line
