from __future__ import annotations

import numpy as np
import pytest

from isthmus.loop.simulators.contact import Contact, Contacts, classify, severity

EGO = np.array([0.0, 0.0, 0.0, 4.8, 2.0])


@pytest.mark.parametrize(
    ("ego_speed", "other", "other_speed", "contact"),
    [
        (0.0, (4.7, 0.0, np.pi), 5.0, Contact.STOPPED_EGO),
        (5.0, (4.7, 0.0, 0.0), 0.0, Contact.STOPPED_OTHER),
        (5.0, (-4.7, 0.0, 0.0), 9.0, Contact.REAR),
        (5.0, (4.7, 0.5, 0.0), 2.0, Contact.FRONT),
        (5.0, (3.0, 3.0, np.pi / 2), 4.0, Contact.FRONT),
        (5.0, (-2.5, 1.9, 0.0), 5.0, Contact.SIDE),
    ],
)
def test_contacts_are_told_apart(
    ego_speed: float, other: tuple[float, float, float], other_speed: float, contact: Contact
) -> None:
    assert classify(EGO, ego_speed, np.array([*other, 4.8, 2.0]), other_speed) is contact


def test_only_driving_into_others_is_the_egos_fault_and_a_touch_at_the_side_while_between_lanes() -> None:
    fault = {contact: (contact.at_fault(False), contact.at_fault(True)) for contact in Contact}
    assert fault == {
        Contact.STOPPED_EGO: (False, False),
        Contact.STOPPED_OTHER: (True, True),
        Contact.REAR: (False, False),
        Contact.FRONT: (True, True),
        Contact.SIDE: (False, True),
    }


def test_a_thing_counts_half() -> None:
    assert severity(Contact.STOPPED_OTHER, "barrier", False) == 0.5
    assert severity(Contact.STOPPED_OTHER, "car", False) == 0.0
    assert severity(Contact.REAR, "car", False) == 1.0


def test_one_that_hit_the_ego_or_appeared_inside_it_is_out_from_then_on() -> None:
    size = np.array([[4.8, 2.0], [4.8, 2.0]])
    watch = Contacts(EGO[3:], size, ["car", "car"], np.ones(2, bool))
    boxes = np.array([[-4.7, 0.0, 0.0, 4.8, 2.0], [1.0, 0.5, 0.0, 4.8, 2.0]])
    state, speeds = (0.0, 0.0, 0.0, 5.0, 0.0), np.array([9.0, 5.0])
    assert not watch.at_fault(state, boxes, speeds, np.array([False, True]), False)
    assert watch.collided
    assert watch.no_collision == 1.0
    assert watch.ignored == 1
    assert not watch.active.any()
    assert not watch.at_fault(state, boxes, speeds, np.array([False, False]), True)
