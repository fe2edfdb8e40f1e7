"""Calibrates a gallery's threshold at the outer site and keeps it for the devices."""

from __future__ import annotations

import getpass
from dataclasses import dataclass

from isthmus.app.galleries.outer import Outer
from isthmus.core.errors import InputError
from isthmus.gallery.people import Persons
from isthmus.gallery.thresholds import calibrated


@dataclass(frozen=True, slots=True)
class Found:
    """A gallery's new threshold, and a sentence that says what it rests on."""

    threshold: float
    sentence: str


def calibrate_gallery(
    site: Outer, name: str, target: float, person: str | None = None, by_folder: bool = False
) -> Found:
    """Find a gallery's threshold, keep it, and note it in the audit log; see `gallery.thresholds.calibrated`.

    `person` names the attribute that says whose a record is; `by_folder`: its id up to the last / does.
    """
    extractor = site.extractor
    if extractor is None:
        raise InputError(
            f"{site.config.path}: [gallery] names no extractor", 'add one, such as extractor = "faces"'
        )

    whose = Persons(person or "", by_folder)
    gallery, model = site.name(name), extractor.model
    found = calibrated(site.set, gallery, model, whose, target)
    site.thresholds.keep(gallery, model.name, found, target, site.clock.now())
    site.audit.note(getpass.getuser(), "calibrate", gallery, model.name, f"threshold {found.threshold:.4f}")
    rests = f"{gallery}: {found.strangers} vectors played the stranger"
    if found.false_identification is not None:
        rests += f", {found.false_identification:.2%} of them would be taken for somebody"
    if found.missed is not None:
        rests += f"; {found.missed:.2%} of {found.genuine} would miss their own person"
    if not found.enough:
        rests += f"; too few to show {target:.2%}"
    return Found(found.threshold, rests)


def forget_threshold(site: Outer, name: str) -> int:
    """Let the models' own thresholds hold in a gallery again; returns how many calibrated ones there were."""
    gallery = site.name(name)
    count = site.thresholds.forget(gallery)
    site.audit.note(getpass.getuser(), "calibration forgotten", gallery)
    return count
