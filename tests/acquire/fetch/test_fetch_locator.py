from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.fetch.locator import origin, split, wire
from isthmus.core.errors import InputError

_WIRE = re.compile(r"(http|https|ftp|ftps|sftp)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\]):[0-9]+/[\x21-\x7e]*")


def read(address: str) -> str:
    scheme, authority, rest = split(address)
    return wire(origin(scheme, authority), rest)


@pytest.mark.parametrize(
    "spelling",
    [
        "127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "127.1", "127.0.1", "017700000001",
        "127.0.0.1.", "１２７.0.0.1", "①②⑦.0.0.1", "0X7F.1",
    ],
)  # fmt: skip
def test_every_spelling_of_an_ip_address_is_brought_into_its_plain_one(spelling: str) -> None:
    assert read(f"http://{spelling}/x") == "http://127.0.0.1:80/x"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("HTTP://Example.COM", "http://example.com:80/"),
        ("https://example.com.:8443?a=b#c", "https://example.com:8443/?a=b"),
        ("http://[::1]/a", "http://[::1]:80/a"),
        ("http://[0:0:0:0:0:ffff:7f00:1%25eth0]:81/", "http://[::ffff:7f00:1]:81/"),
        ("http://bücher.example/ü b", "http://xn--bcher-kva.example:80/%C3%BC%20b"),
        ("http://h/a%20b?x=%2F", "http://h:80/a%20b?x=%2F"),
        ("webhdfs://nn/data/a.jpg", "http://nn:9870/webhdfs/v1/data/a.jpg?op=OPEN"),
        ("webhdfs://nn:50070/a?user.name=x", "http://nn:50070/webhdfs/v1/a?user.name=x&op=OPEN"),
        ("davs://dav.example/p", "https://dav.example:443/p"),
        ("ftp://f/a", "ftp://f:21/a"),
    ],
)
def test_addresses_are_put_together_again_from_their_parts(address: str, expected: str) -> None:
    assert read(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        "", "example.com/x", "//example.com", "http:/example.com", "http://", "http:///x", "http://user@host/",
        "http://user:pass@host/", "http://a@b@c/", "http://host\\@evil/", "http://host/a\\b", "http://ho st/",
        "http://host:0/", "http://host:65536/", "http://host:8o/", "http://host:１/", "http://[::1/", "http://[::1]x/",
        "http://[fe80::zz]/", "http://%31%32%37.0.0.1/", "http://256.1.1.1/", "http://1.2.3.4.5/", "http://a..b/",
        "http://-a.b/", "http://host/\x00", "http://host/\r\nHost: evil", "http://" + "a" * 300 + "/", "http://1.2.3.09/",
        "http://a\u2028b/", "http://\ud800/", "http://host/\ud800",
    ],
)  # fmt: skip
def test_what_two_readers_could_take_for_different_things_is_no_address(address: str) -> None:
    with pytest.raises(InputError):
        read(address)


@given(st.text(max_size=80) | st.from_regex(r"https?://[\x20-\x7e]{0,40}", fullmatch=True))
def test_any_text_is_refused_or_becomes_a_plain_url_that_others_read_alike(text: str) -> None:
    try:
        scheme, authority, rest = split(text)
        where = origin(scheme, authority)
        url = wire(where, rest) if scheme in ("http", "https", "ftp") else ""
    except InputError:
        return
    if url:
        assert _WIRE.fullmatch(url)
        assert "\\" not in url
        parts = urlsplit(url)
        assert (parts.hostname, parts.port, parts.username) == (where.host, where.port, None)


@given(st.text(max_size=40))
def test_reading_a_read_address_again_changes_nothing(path: str) -> None:
    try:
        once = read("http://host.example/" + path)
    except InputError:
        return
    assert read(once) == once
