"""The states of a model, and the name that it is known by."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from isthmus.core.errors import InputError
from isthmus.core.machine import Machine, Row

CANDIDATE, CHAMPION, RETIRED = "candidate", "champion", "retired"
REJECTED, WITHDRAWN = "rejected", "withdrawn"

MODEL = Machine(
    "model",
    CANDIDATE,
    (
        Row(CANDIDATE, "promote", CHAMPION, "the gate passed it, or a person released it"),
        Row(CANDIDATE, "reject", REJECTED, "the gate did not pass it, and no training is left to try"),
        Row(CANDIDATE, "withdraw", WITHDRAWN, "a person took it out before it was ever in use"),
        Row(REJECTED, "promote", CHAMPION, "a person released it by hand against the gate"),
        Row(REJECTED, "withdraw", WITHDRAWN, "a person ruled it out for good"),
        Row(CHAMPION, "supersede", RETIRED, "another model of the pipeline became champion"),
        Row(CHAMPION, "roll_back", RETIRED, "a person went back to the champion before it"),
        Row(RETIRED, "restore", CHAMPION, "the champion after it was rolled back"),
        Row(RETIRED, "promote", CHAMPION, "a person released it once more"),
        Row(RETIRED, "withdraw", WITHDRAWN, "a person ruled it out: no rollback ends here"),
    ),
)

_PIPELINE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MODEL_ID = re.compile(r"([a-z][a-z0-9_]{0,62})-(\d{8})-([1-9]\d*)")


def check_pipeline_name(name: str) -> None:
    """Raise InputError where a pipeline may not be called so: its name begins the names of its models."""
    if not _PIPELINE.fullmatch(name):
        raise InputError(f"{name!r} is no pipeline name", "use lower-case letters, digits and _, a letter first")


@dataclass(frozen=True, slots=True, order=True)
class ModelId:
    """A model's name: `forecast-20261120-3` is the third of that day in the pipeline forecast.

    Raises InputError where the pipeline is not a plain lower-case name.
    """

    pipeline: str
    day: datetime.date
    number: int

    def __post_init__(self) -> None:
        check_pipeline_name(self.pipeline)
        if self.number < 1:
            raise InputError(f"{self.number} is no model number", "count from 1")

    @classmethod
    def parse(cls, text: str) -> ModelId:
        """Parse `PIPELINE-YYYYMMDD-NUMBER`. Raises InputError."""
        found = _MODEL_ID.fullmatch(text)
        try:
            if found:
                return cls(found[1], datetime.datetime.strptime(found[2], "%Y%m%d").date(), int(found[3]))
        except ValueError:
            pass  # eight digits that are no day: told below like any other wrong name
        raise InputError(f"{text!r} is no model id", "write PIPELINE-YYYYMMDD-NUMBER, as in forecast-20261120-3")

    def __str__(self) -> str:
        return f"{self.pipeline}-{self.day:%Y%m%d}-{self.number}"
