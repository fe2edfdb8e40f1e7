from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.fetch.addresses import GUARDED, Networks, inside, networks

PUBLIC = Networks(public=True)
EVERYTHING = Networks(networks(["0.0.0.0/0", "::/0"]), public=True)
fours = st.integers(0, 2**32 - 1).map(IPv4Address)
sixes = st.integers(0, 2**128 - 1).map(IPv6Address)


def disguises(four: IPv4Address) -> list[str]:
    """Every way to write an IPv4 destination as an IPv6 address."""
    number = int(four)
    inverted = number ^ 0xFFFFFFFF
    return [
        str(IPv6Address(0xFFFF << 32 | number)),
        f"::ffff:{four}",
        str(IPv6Address(0xFFFF << 48 | number)),
        str(IPv6Address(int(IPv6Address("64:ff9b::")) | number)),
        str(IPv6Address(int(IPv6Address("64:ff9b:1::")) | number)),
        str(IPv6Address(0x2002 << 112 | number << 80 | 1)),
        str(IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | inverted)),
        str(IPv6Address(0x20010000 << 96 | number << 64 | (0x08080808 ^ 0xFFFFFFFF))),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1",
        "100.64.0.1", "100.100.100.200", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0",
        "fd00:ec2::254", "fc00::1", "ff02::1", "::127.0.0.1", "::ffff:0:127.0.0.1",
    ],
)  # fmt: skip
def test_no_address_of_a_private_or_special_network_is_public(text: str) -> None:
    assert PUBLIC.refusal(text)


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_allowed_where_no_network_is_named(text: str) -> None:
    assert PUBLIC.refusal(text) == ""


@pytest.mark.parametrize("text", ["localhost", "", "1.2.3", "1.2.3.4.5", "2130706433", "0x7f.1", "8.8.8.8 "])
def test_what_is_no_ip_address_is_refused(text: str) -> None:
    assert "is no IP address" in EVERYTHING.refusal(text)


@given(fours)
def test_a_destination_in_disguise_is_never_allowed_where_it_is_refused_undisguised(four: IPv4Address) -> None:
    for allowed in (PUBLIC, EVERYTHING, Networks(networks(["10.0.0.0/8"]))):
        if allowed.refusal(str(four)):
            for disguise in disguises(four):
                assert allowed.refusal(disguise), disguise


@given(st.integers(0, 2**24 - 1).map(lambda low: IPv4Address(10 << 24 | low)))
def test_a_named_network_allows_its_addresses_also_mapped_and_translated(four: IPv4Address) -> None:
    allowed = Networks(networks(["10.0.0.0/8"]))
    assert allowed.refusal(str(four)) == ""
    assert allowed.refusal(f"::ffff:{four}") == ""
    assert allowed.refusal(f"64:ff9b::{four}") == ""


@given(st.sampled_from(GUARDED), st.data())
def test_a_guarded_range_is_opened_only_by_a_network_within_it(guard: object, data: st.DataObject) -> None:
    network = ip_network(str(guard))
    address = str(network[data.draw(st.integers(0, network.num_addresses - 1))])
    assert EVERYTHING.refusal(address)
    exact = Networks((network,))
    if inside(network[0])[1] is None:
        assert exact.refusal(address) == ""


@given(sixes)
def test_judging_never_raises_and_agrees_with_itself_whatever_the_zone(six: IPv6Address) -> None:
    for allowed in (PUBLIC, EVERYTHING, Networks()):
        assert allowed.refusal(str(six)) == allowed.refusal(f"{six}%eth0")
    assert Networks().refusal(str(six))


@given(st.lists(fours, max_size=3), st.lists(fours, max_size=3), fours)
def test_joined_networks_allow_what_either_allows(
    left: list[IPv4Address], right: list[IPv4Address], four: IPv4Address
) -> None:
    one = Networks(networks(f"{each}/32" for each in left))
    two = Networks(networks(f"{each}/32" for each in right))
    for text in (str(four), *map(str, left), *map(str, right)):
        either = not one.refusal(text) or not two.refusal(text)
        assert (one.joined(two).refusal(text) == "") == either


def test_local_nat64_is_opened_by_name_but_never_to_what_is_guarded() -> None:
    named = Networks(networks(["64:ff9b:1::/48"]))
    assert named.refusal("64:ff9b:1:0a01:2:300::") == ""
    assert named.refusal("64:ff9b:1:a9fe:a9:fe00::")
    assert named.refusal("64:ff9b:1::169.254.169.254")
