"""Which namespaces of a foreign oplog are taken, and under what names.

1. What a `deny` pattern matches is left out.
2. Where there are `allow` patterns, a namespace must match one of them.
3. The server's own collections (databases admin, config and local; `<database>.system.…`) are left out unless an
   allow pattern names them as such: `shop.system.buckets.*` does, `shop` and `*` do not.
4. What is taken gets its new name: the one of the collection, or else the one of its database.

A pattern is `<database>` or `<database>.<collection>`; `*` stands for any characters, dots included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_OWN = ("admin", "config", "local")
_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The rules. Without any, all but the server's own collections are taken under their names.

    Raises ValueError where a pattern or name is none.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    _allowed: tuple[tuple[re.Pattern[str], bool], ...] = field(init=False, repr=False, compare=False)
    _denied: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)
    _known: dict[str, str | None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        allowed = tuple((_pattern(text), _own(text)) for text in self.allow)
        object.__setattr__(self, "_allowed", allowed)
        object.__setattr__(self, "_denied", tuple(_pattern(text) for text in self.deny))
        for old, new in self.rename.items():
            if not old or not new or "*" in old + new or ("." in old) != ("." in new):
                raise ValueError(f"{old!r} cannot be renamed to {new!r}: name two databases or two collections")

    @property
    def plain(self) -> bool:
        """Whether there are no rules."""
        return not (self.allow or self.deny or self.rename)

    def of(self, ns: str) -> str | None:
        """Return the name under which a namespace is taken; None where it is left out."""
        try:
            return self._known[ns]
        except KeyError:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[ns] = found = self._judged(ns)
            return found

    def of_database(self, database: str, present: Iterable[str]) -> list[str]:
        """List those of the `present` collections that came from a foreign database."""
        named = {new: old for old, new in self.rename.items() if "." in old}
        mine = {new for new, old in named.items() if old.startswith(database + ".") and self.of(old) == new}
        return [
            ns
            for ns in present
            if ns in mine or (ns not in named and self.of(f"{database}.{ns.partition('.')[2]}") == ns)
        ]

    def _judged(self, ns: str) -> str | None:
        if any(pattern.fullmatch(ns) for pattern in self._denied):
            return None
        own = _own(ns)
        if self._allowed or own:
            fitting = (pattern for pattern, names_own in self._allowed if names_own or not own)
            if not any(pattern.fullmatch(ns) for pattern in fitting):
                return None
        database, _, collection = ns.partition(".")
        return self.rename.get(ns) or f"{self.rename.get(database, database)}.{collection}"


def _pattern(text: str) -> re.Pattern[str]:
    if not text or text.startswith("."):
        raise ValueError(f"{text!r} is no pattern of namespaces: <database> or <database>.<collection>, * for any")
    any_of = ".*".join(re.escape(part) for part in text.split("*"))
    if "." not in text and not text.endswith("*"):
        any_of += r"\..*"
    return re.compile(any_of, re.DOTALL)


def _own(ns: str) -> bool:
    database, _, collection = ns.partition(".")
    return database in _OWN or collection.startswith("system.")
