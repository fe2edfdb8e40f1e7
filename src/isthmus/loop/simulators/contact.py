"""Whose fault a collision is, as nuPlan and NAVSIM judge it.

| contact | when | the ego's fault |
|---|---|---|
| STOPPED_EGO | the ego stands | no |
| STOPPED_OTHER | the other stands | yes |
| REAR | the other's centre lies more than 150° off the ego's heading, seen from its rear axle | no |
| FRONT | the other touches the ego's front bumper | yes |
| SIDE | else | only while the ego is between lanes |

Source: nuPlan devkit `collision_utils` and `idm/utils` (Caesar et al. 2021), NAVSIM `pdm_scorer_utils` (Dauner et
al. 2024). A collision at fault with something that is no road user counts half.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.simulators.geometry import overlap

Array = NDArray[Any]

STOPPED_M_S = 0.05
REAR_AXLE = 0.28
"""The rear axle lies this part of the length behind the centre (nuPlan's vehicle: 1.46 m of 5.18 m)."""
BEHIND_RAD = np.deg2rad(150.0)
AHEAD_RAD = np.deg2rad(30.0)

STATIC_KINDS = frozenset({"static", "barrier", "cone", "traffic_cone", "czone_sign", "sign", "object", "obstacle"})


class Contact(enum.Enum):
    """How the ego and another collide."""

    STOPPED_EGO = "stopped ego"
    STOPPED_OTHER = "stopped other"
    REAR = "rear"
    FRONT = "front"
    SIDE = "side"

    def at_fault(self, between_lanes: bool) -> bool:
        """Say whether the ego is at fault."""
        if self is Contact.SIDE:
            return between_lanes
        return self in (Contact.STOPPED_OTHER, Contact.FRONT)


def bearing(ego: Array, x: Array, y: Array) -> Array:
    """Return the angle in radians, 0 … π, between the ego's heading and places seen from its rear axle.

    `ego` is (..., 5) as from `geometry.boxes`.
    """
    cos, sin = np.cos(ego[..., 2]), np.sin(ego[..., 2])
    back = REAR_AXLE * ego[..., 3]
    dx, dy = x - (ego[..., 0] - back * cos), y - (ego[..., 1] - back * sin)
    angle: Array = np.abs(np.arctan2(cos * dy - sin * dx, cos * dx + sin * dy))
    return angle


def classify(ego: Array, ego_speed: float, other: Array, other_speed: float) -> Contact:
    """Classify a collision of two boxes (5,) as from `geometry.boxes`; speeds in m/s."""
    if ego_speed <= STOPPED_M_S:
        return Contact.STOPPED_EGO
    if other_speed <= STOPPED_M_S:
        return Contact.STOPPED_OTHER
    if float(bearing(ego, other[0], other[1])) > BEHIND_RAD:
        return Contact.REAR
    half = ego[3] / 2
    bumper = ego.copy()
    bumper[0] += half * np.cos(ego[2])
    bumper[1] += half * np.sin(ego[2])
    bumper[3] = 0.0
    return Contact.FRONT if bool(overlap(bumper, other)) else Contact.SIDE


def severity(contact: Contact, kind: str, between_lanes: bool) -> float:
    """Return the factor NC of one collision: 1 not at fault, 0.5 at fault with a thing, 0 at fault."""
    if not contact.at_fault(between_lanes):
        return 1.0
    return 0.5 if kind in STATIC_KINDS else 0.0


class Contacts:
    """Watches one drive for collisions.

    `active` bool (A,) marks the others that can still collide: one that hit the ego without being its fault, or
    that appeared inside it, is left out from then on. `no_collision` is the least factor NC so far.
    """

    def __init__(self, ego_size: Array, size: Array, kinds: Sequence[str], active: Array) -> None:
        self.active = active
        self.collided = False
        self.no_collision = 1.0
        self.ignored = int((~active).sum())
        self._ego_size = ego_size
        self._kinds = kinds
        # Boxes farther apart than both half diagonals can't touch.
        self._reach = (np.hypot(*ego_size) + np.hypot(size[:, 0], size[:, 1])) ** 2 / 4

    def at_fault(
        self, ego: Sequence[float], others: Array, speeds: Array, appeared: Array | None, between_lanes: bool
    ) -> bool:
        """Judge the contacts of one moment; True where the ego is at fault in one of them.

        `ego` is a state as in Scene; `others` (A, 5) are boxes; `appeared` (A,) marks those that were not there
        a step before, None all.
        """
        x, y, heading, speed = ego[:4]
        dx, dy = others[:, 0] - x, others[:, 1] - y
        near = np.flatnonzero((dx * dx + dy * dy <= self._reach) & self.active)
        if len(near) == 0:
            return False
        mine = np.array([x, y, heading, *self._ego_size])
        fault = False
        for other in near[overlap(mine, others[near])]:
            if appeared is None or appeared[other]:
                self.ignored += 1
                self.active[other] = False
                continue
            self.collided = True
            contact = classify(mine, speed, others[other], float(speeds[other]))
            factor = severity(contact, self._kinds[other], between_lanes)
            self.no_collision = min(self.no_collision, factor)
            if factor < 1.0:
                fault = True
            else:
                self.active[other] = False
        return fault
