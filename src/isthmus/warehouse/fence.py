"""What a warehouse root says of itself to everyone who opens it: its role, its epoch, and what a standby shows.

It lies at `<root>/.fence.json` and is replaced whole, by one rename: so readers of a standby go from one barrier
to the next with all tables at once, and a writer is let in or kept out at one moment. A root without it is
nobody's replica and takes every write.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Role = Literal["independent", "primary", "yielding", "standby", "fenced"]
NAME = ".fence.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Shown:
    """What a standby shows of a replicated table: the version, and the BLAKE3 of its manifest in hexadecimal."""

    version: int
    manifest: str


@dataclass(frozen=True, slots=True)
class Fence:
    """The state of a root. `barrier` is the key of the round that a standby shows; `tables` its tables by name.

    `hidden` names tables of which files are there already but which no barrier shows yet. `primary` names the site
    that the tables come from. `held` says why nobody writes now, empty where writers are let in.
    """

    role: Role = "independent"
    epoch: int = 1
    primary: str = ""
    held: str = ""
    barrier: str = ""
    tables: Mapping[str, Shown] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    def shown(self, name: str) -> Shown | None:
        """Return what a reader of a table gets; None where it is its latest version."""
        return self.tables.get(name) if self.role == "standby" else None

    def refusal(self, name: str) -> tuple[str, str] | None:
        """Say why a table is not to be written now, and what to do; None where it may be."""
        if self.role == "standby" and (name in self.tables or name in self.hidden):
            return (
                f"the table {name} is replicated from {self.primary or 'the primary'} and read-only here",
                "write there; where that site is lost, take over: isthmus recovery failover",
            )
        if self.role == "fenced":
            return (
                f"another site took over from this one, primary of epoch {self.epoch}: {name} is not written",
                "follow the new primary: isthmus recovery failback",
            )
        if self.held:
            return f"the table {name} is not written now: {self.held}", "try again when that has ended"
        return None

    def to_json(self) -> dict[str, Any]:
        """Write the fence as plain JSON values."""
        return {
            "format": FORMAT,
            "role": self.role,
            "epoch": self.epoch,
            "primary": self.primary,
            "held": self.held,
            "barrier": self.barrier,
            "tables": {name: [one.version, one.manifest] for name, one in self.tables.items()},
            "hidden": list(self.hidden),
        }

    @classmethod
    def of_json(cls, text: bytes) -> Fence:
        """Read what `to_json` writes, as JSON text. Raises ValueError on anything else."""
        try:
            value = json.loads(text)
            if value["format"] != FORMAT or value["role"] not in get_args(Role):
                raise ValueError(f"format {value['format']!r} and role {value['role']!r} are not known here")
            return cls(
                value["role"],
                int(value["epoch"]),
                str(value["primary"]),
                str(value["held"]),
                str(value["barrier"]),
                {
                    str(name): Shown(int(version), str(digest))
                    for name, (version, digest) in value["tables"].items()
                },
                tuple(map(str, value["hidden"])),
            )
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise ValueError(f"no fence: {error!r}") from error
