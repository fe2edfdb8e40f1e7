"""Chooses how a gallery is brought up to date from what the device claims. No I/O.

A device may claim what it likes: a wrong claim costs it a needless transfer, and the digests are compared
afterwards in every case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from isthmus.gallery.sync.messages import Claim
from isthmus.gallery.sync.mode import Mode, Tier


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a gallery stands at the server, as one device sees it. `model` is "" where vectors play no part."""

    epoch: bytes
    mode: Mode
    model: str
    change: int
    count: int
    digest: bytes


def choose(claim: Claim | None, here: Standing, known: Callable[[int], bool]) -> tuple[Tier, int, bytes]:
    """Return the tier, and for a snapshot the change it began at and the key hash after which it goes on.

    `known` tells whether all changes after a number are still remembered.
    """
    anew = (Tier.SNAPSHOT, here.change, b"")
    if claim is None or (claim.mode, claim.model) != (here.mode, here.model):
        return anew
    ours = claim.epoch == here.epoch
    if ours and len(claim.cursor) == 8:
        resumes = 0 <= claim.begun <= here.change and known(claim.begun)
        return (Tier.SNAPSHOT, claim.begun, claim.cursor) if resumes else anew
    if ours and (claim.digest, claim.count) == (here.digest, here.count) and claim.change >= 0:
        return Tier.EQUAL, -1, b""
    if ours and 0 <= claim.change < here.change and known(claim.change):
        return Tier.CHANGES, -1, b""
    if abs(claim.count - here.count) * 2 > max(claim.count, here.count):
        return anew
    return Tier.RECONCILE, -1, b""
