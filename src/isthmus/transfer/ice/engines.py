"""Which ICE engine is used. None is imported before it is."""

from __future__ import annotations

import importlib.util

from isthmus.core.errors import MissingExtra, UnknownName
from isthmus.transfer.ice.port import Make
from isthmus.transfer.ice.settings import EngineName

MODULES: dict[str, tuple[str, str]] = {"wrtc": ("webrtc", "ice-fast"), "aiortc": ("aiortc", "ice")}
"""By engine, the module that it needs and the extra that brings it; `auto` takes the first that is there."""


def chosen(name: EngineName) -> str:
    """Decide which engine is used. Raises MissingExtra where the one asked for, or any, is not installed."""
    if name == "auto":
        for engine, (module, _) in MODULES.items():
            if _installed(module):
                return engine
        name = "aiortc"
    if name not in MODULES:
        raise UnknownName.among("ICE engine", name, MODULES)
    module, extra = MODULES[name]
    if not _installed(module):
        raise MissingExtra.named(f"the ICE engine {name}", extra)
    return name


def maker(name: EngineName) -> Make:
    """Return what makes peers of the engine asked for. Raises MissingExtra."""
    if chosen(name) == "wrtc":
        from isthmus.transfer.ice.wrtc_engine import WrtcPeer

        return WrtcPeer
    from isthmus.transfer.ice.aiortc_engine import AiortcPeer

    return AiortcPeer


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
