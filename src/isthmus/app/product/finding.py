"""What a look at a site found: how bad, what, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
"""error: the site cannot do its work; warning: it may soon not; note: nothing is wrong, but worth knowing."""
_ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `where` is a file, an address or a table of the TOML; `mend` says what to do."""

    severity: Severity
    what: str
    where: str = ""
    mend: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        return {"severity": self.severity, "what": self.what, "where": self.where, "mend": self.mend}


def error(what: str, where: object = "", mend: str = "") -> Finding:
    """Make a finding that keeps the site from its work."""
    return Finding("error", what, str(where), mend)


def warning(what: str, where: object = "", mend: str = "") -> Finding:
    """Make a finding that may soon keep the site from its work."""
    return Finding("warning", what, str(where), mend)


def note(what: str, where: object = "", mend: str = "") -> Finding:
    """Make a finding that is worth knowing."""
    return Finding("note", what, str(where), mend)


def sorted_by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, each once, the worst first and otherwise as they came."""
    return sorted(dict.fromkeys(findings), key=lambda one: _ORDER.index(one.severity))
