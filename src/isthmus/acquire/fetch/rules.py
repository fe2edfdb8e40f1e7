"""What an environment allows and how it gets there: settings for the agent's TOML, and decisions without I/O.

For every address, also for one that a redirect led to:

1. the first rewrite that fits changes it (platforms hand out addresses that are right only in another segment);
2. the allow-list must name its scheme, host and port; whatever it does not name is refused;
3. the networks of the rules that fit bind its connections, where the sockets are made (`addresses`); schemes that
   go over the same wire (http, dav, webhdfs) share connections, and so the networks of one server;
4. the first storage entry that fits gives credentials, limits and time-outs; without one the defaults hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.addresses import Networks
from isthmus.acquire.fetch.locator import USUAL_PORTS, WIRES, Origin, origin, split
from isthmus.acquire.fetch.settings import Allow, EnvironmentRules, Storage
from isthmus.core.errors import InputError

_MOST_KNOWN = 20_000


@dataclass(frozen=True, slots=True)
class Server:
    """A storage server that the rules allow: where its connections may lead, and how it is to be treated."""

    origin: Origin
    networks: Networks
    roots: tuple[str, ...]
    storage: Storage
    place: int
    """Which storage entry it is, from 0; -1 for the defaults."""

    def __str__(self) -> str:
        return str(self.origin)


class Way(NamedTuple):
    """Where an address leads: a server that is allowed, and the path with query on it."""

    server: Server
    rest: str


class Rules:
    """The decisions of one environment. Remembers servers it has judged; otherwise a pure function."""

    def __init__(self, settings: EnvironmentRules) -> None:
        self.settings = settings
        self._rewrites = [(rewrite, re.compile(rewrite.pattern)) for rewrite in settings.rewrite]
        self._allow = [(rule, rule.networks()) for rule in settings.allow]
        self._known: dict[tuple[str, str], Server | Failure] = {}

    def way(self, address: str) -> Way | Failure:
        """Say where an address leads, or why it may not."""
        try:
            scheme, authority, rest = split(self.rewritten(address))
        except InputError as error:
            return Failure(Kind.BAD_ADDRESS, str(error))
        server = self._known.get((scheme, authority))
        if server is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            server = self._known[scheme, authority] = self._judge(scheme, authority)
        return server if isinstance(server, Failure) else Way(server, rest)

    def rewritten(self, address: str) -> str:
        """Apply the first rewrite that fits."""
        for rewrite, pattern in self._rewrites:
            if rewrite.prefix:
                if address.startswith(rewrite.prefix):
                    return rewrite.to + address[len(rewrite.prefix) :]
            elif found := pattern.fullmatch(address):
                return found.expand(rewrite.to)
        return address

    def _judge(self, scheme: str, authority: str) -> Server | Failure:
        try:
            where = origin(scheme, authority)
        except InputError as error:
            return Failure(Kind.BAD_ADDRESS, str(error))
        fitting = [(rule, networks) for rule, networks in self._allow if allows(rule, where)]
        if not fitting:
            return Failure(Kind.FORBIDDEN, f"no rule allows {where}")
        networks = fitting[0][1]
        for (
            rule,
            more,
        ) in self._allow:  # what goes over the same wire may share connections, so shares networks too
            if any(allows(rule, replace(where, scheme=alike)) for alike in _alike(where.scheme)):
                networks = networks.joined(more)
        roots = tuple(root for rule, _ in fitting for root in rule.roots)
        place, storage = chosen(self.settings.storage, where)
        return Server(where, networks, roots, storage, place)


def _alike(scheme: str) -> list[str]:
    return [each for each in WIRES if WIRES[each] == WIRES.get(scheme)] or [scheme]


def allows(rule: Allow, where: Origin) -> bool:
    """Tell whether a rule names the scheme, host and port of an origin."""
    if where.scheme not in rule.schemes:
        return False
    if where.scheme == "file":
        return bool(rule.roots)
    return fits(rule.hosts, where.host) and _port_fits(rule.ports, where)


def chosen(entries: Sequence[Storage], where: Origin) -> tuple[int, Storage]:
    """Return the first storage entry that fits an origin and its number; -1 and the defaults where none does."""
    for number, entry in enumerate(entries):
        schemes_fit = not entry.schemes or where.scheme in entry.schemes
        if schemes_fit and fits(entry.hosts, where.host) and (not entry.ports or where.port in entry.ports):
            return number, entry
    return -1, Storage(hosts=("*",))


def fits(patterns: Sequence[str], host: str) -> bool:
    """Tell whether a host is named: itself, by *.domain (names below it, never IP addresses), or by *."""
    for pattern in patterns:
        wanted = pattern.lower()
        if wanted in ("*", host) or (wanted.startswith("*.") and host.endswith(wanted[1:]) and host != wanted[1:]):
            return True
    return False


def _port_fits(ports: Sequence[int], where: Origin) -> bool:
    return where.port in ports if ports else where.port == USUAL_PORTS.get(where.scheme)
