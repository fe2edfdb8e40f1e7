"""Judges IP addresses where a connection is about to be made; without I/O.

An address may carry another one inside: IPv4-mapped (::ffff:0:0/96) and IPv4-compatible (::/96, RFC 4291), NAT64
(64:ff9b::/96, RFC 6052, and the local-use prefix 64:ff9b:1::/48, RFC 8215), SIIT (::ffff:0:0:0/96, RFC 2765), 6to4
(2002::/16, RFC 3056), Teredo (2001::/32, RFC 4380). What counts is where the packets end up: the inner address.

1. A guarded range (this host, link-local with its metadata services, multicast, unspecified) is opened only by a
   network that lies within that range: 0.0.0.0/0 does not open it.
2. Any other address is allowed by a network that holds it, or, where public ones are, by being public.
3. An address with others inside is allowed when each of them is; or when a network within its own transition range
   names it and none inside is guarded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

GUARDED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "100.100.100.200/32",  # a cloud's metadata service, inside the range shared by carriers
        "192.0.0.192/32",  # another one's
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "::1/128",
        "fe80::/10",
        "fec0::/10",
        "fd00:ec2::254/128",  # metadata over IPv6
        "fd20:ce::254/128",
        "ff00::/8",
    )
)

_SIIT, _NAT64 = IPv6Network("::ffff:0:0:0/96"), IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_MAPPED, _COMPATIBLE = IPv6Network("::ffff:0:0/96"), IPv6Network("::/96")
_6TO4, _TEREDO = IPv6Network("2002::/16"), IPv6Network("2001::/32")
_NOWHERE = IPv4Network("0.0.0.0/8")
_FORMS: tuple[tuple[IPv6Network, tuple[tuple[int, ...], ...]], ...] = (
    (_MAPPED, ((12, 13, 14, 15),)),
    (_COMPATIBLE, ((12, 13, 14, 15),)),
    (_SIIT, ((12, 13, 14, 15),)),
    (_NAT64, ((12, 13, 14, 15),)),
    # behind prefixes of 48, 56, 64 and 96 bits (RFC 6052, 2.2): nobody outside knows which one the network uses
    (_NAT64_LOCAL, ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))),
    (_6TO4, ((2, 3, 4, 5),)),
)
"""Transition ranges, and which bytes of the address are the inner one."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Where connections may lead: the networks named and, where `public`, every public address."""

    named: tuple[Network, ...] = ()
    public: bool = False

    def joined(self, other: Networks) -> Networks:
        """Return what either of them allows."""
        more = tuple(network for network in other.named if network not in self.named)
        return Networks(self.named + more, self.public or other.public)

    def refusal(self, text: str) -> str:
        """Say why a connection to an address (a text, maybe with a zone) is refused; empty where it is allowed."""
        try:
            address = _plain(text)
        except ValueError:
            return f"{text!r} is no IP address"
        inner, range_ = inside(address)
        if range_ is None:
            return self._judge(address, str(address))
        refusals = [self._judge(each, f"{address} leads to {each}, which") for each in inner]
        guarded = any(_guard(each) for each in inner)
        if not guarded and any(_within(each, range_) and address in each for each in self.named):
            return ""
        return next(filter(None, refusals), "")

    def _judge(self, address: Address, shown: str) -> str:
        guard = _guard(address)
        if guard is not None:
            if any(_within(each, guard) and address in each for each in self.named):
                return ""
            return f"{shown} is in {guard}, which only a rule that names it opens"
        if self.public and address.is_global:
            return ""
        if any(address.version == each.version and address in each for each in self.named):
            return ""
        return f"{shown} is in none of the allowed networks"


def inside(address: Address) -> tuple[tuple[Address, ...], IPv6Network | None]:
    """Return the addresses that one carries inside and its transition range; none and None for a plain one."""
    if isinstance(address, IPv4Address) or address.packed[:15] == bytes(15):  # :: and ::1 are themselves
        return (), None
    packed = address.packed
    if address in _TEREDO:  # the server's address in the clear, the client's inverted
        client = bytes(byte ^ 0xFF for byte in packed[12:16])
        return (IPv4Address(packed[4:8]), IPv4Address(client)), _TEREDO
    for range_, forms in _FORMS:
        if address in range_:
            found = tuple(IPv4Address(bytes(packed[at] for at in form)) for form in forms)
            somewhere = tuple(each for each in found if each not in _NOWHERE)
            return (somewhere or found[-1:]), range_
    return (), None


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as 10.0.0.0/8 or 10.1.2.3. Raises ValueError naming the one that is none."""
    return tuple(ip_network(text) for text in texts)


def _plain(text: str) -> Address:
    address = ip_address(text)
    return IPv6Address(int(address)) if isinstance(address, IPv6Address) else address  # a zone changes nothing


def _guard(address: Address) -> Network | None:
    return next((each for each in GUARDED if each.version == address.version and address in each), None)


def _within(network: Network, around: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(around, IPv4Network) and network.subnet_of(around)
    return isinstance(around, IPv6Network) and network.subnet_of(around)
