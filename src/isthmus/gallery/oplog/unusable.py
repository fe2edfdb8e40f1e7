"""What is raised inside the oplog engine where an operation cannot be applied; it never leaves the engine."""

from __future__ import annotations


class Unusable(Exception):
    """An operation that cannot be applied, with the reason in one line and the namespace it speaks of."""

    def __init__(self, reason: str, ns: str = "") -> None:
        self.reason = reason
        self.ns = ns
        super().__init__(reason)
