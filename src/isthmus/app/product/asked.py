"""The parts of a site as they can be started here and now: what the TOML asks for, and what lies beside it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from isthmus.app.product.parts import Known, Part, parts_of
from isthmus.app.upconfig import NAMES, UpConfig
from isthmus.core.errors import InputError, UnknownName


def asked_for(config: UpConfig, leave_out: Collection[str] = (), *, every: bool = False) -> list[Part]:
    """List the parts that a site's TOML asks for, without what it, or `leave_out`, leaves out.

    `every`: with what its `[up]` leaves out. Raises UnknownName for a name in `leave_out` that no part can have.
    """
    for name in leave_out:
        if name not in NAMES:
            raise UnknownName.among("part", name, NAMES)
    return parts_of(config.tables, _known(config), (*leave_out, *(() if every else config.up.leave_out)))


def need_parts(config: UpConfig, parts: Collection[Part]) -> None:
    """Raise InputError where there is nothing to run."""
    if not parts:
        raise InputError(
            f"{config.path} asks for nothing that runs",
            "add a table such as [console], [acquire], [sync], [recovery] or [trigger.NAME]; see: isthmus keys",
        )


def _known(config: UpConfig) -> Known:
    agent, device = _table(config, "agent"), _table(config, "device")
    label = ""
    if agent and not agent.get("gate"):
        label = _environment(config, str(agent.get("credential", "agent.json")))
    folder = config.place(str(device.get("folder", "device")))
    return Known(label, (folder / "enrolment.json").is_file(), config.up.device_sync_s)


def _table(config: UpConfig, name: str) -> Mapping[str, Any]:
    found = config.tables.get(name)
    return found if isinstance(found, Mapping) else {}


def _environment(config: UpConfig, credential: str) -> str:
    """Return the environment that an agent's credential is for; empty where there is none that can be read.

    What is wrong with it the agent itself tells.
    """
    try:
        told = json.loads(config.place(credential).read_text(encoding="utf-8"))
        return str(told["environment"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
