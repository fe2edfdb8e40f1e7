from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.credentials import Secrets, secrets
from isthmus.acquire.fetch.rules import Rules, Way, fits
from isthmus.acquire.fetch.settings import Allow, EnvironmentRules, Rewrite, Storage
from isthmus.core.errors import ConfigError, InputError
from isthmus.core.settings import Reader

names = st.from_regex(r"[a-z]{1,6}(\.[a-z]{1,6}){0,3}", fullmatch=True)


def rules(*allow: Allow, rewrite: tuple[Rewrite, ...] = (), storage: tuple[Storage, ...] = ()) -> Rules:
    return Rules(EnvironmentRules(allow=allow, rewrite=rewrite, storage=storage))


def way(judge: Rules, address: str) -> Way:
    found = judge.way(address)
    assert isinstance(found, Way), found
    return found


def refused(judge: Rules, address: str) -> Failure:
    found = judge.way(address)
    assert isinstance(found, Failure)
    return found


@given(st.sampled_from(["http", "https", "ftp", "sftp", "smb"]), names, st.integers(1, 65535))
def test_without_rules_nothing_is_allowed(scheme: str, host: str, port: int) -> None:
    assert refused(rules(), f"{scheme}://{host}:{port}/x").kind is Kind.FORBIDDEN


@given(names, names, st.integers(1, 65535))
def test_only_the_named_scheme_host_and_port_are_allowed(host: str, other: str, port: int) -> None:
    judge = rules(Allow(schemes=("https",), hosts=(host,), ports=(8443,)))
    assert way(judge, f"https://{host}:8443/").server.origin.host == host
    assert refused(judge, f"http://{host}:8443/").kind is Kind.FORBIDDEN
    for address, fine in ((f"https://{other}:8443/", other == host), (f"https://{host}:{port}/", port == 8443)):
        assert isinstance(judge.way(address), Way) == fine


def test_a_rule_without_ports_means_the_usual_one() -> None:
    judge = rules(Allow(schemes=("http", "ftp"), hosts=("h",)))
    assert way(judge, "http://h/")
    assert way(judge, "http://h:80/")
    assert way(judge, "ftp://h/")
    assert refused(judge, "http://h:8080/").reason == "no rule allows http://h:8080"


@given(names, names)
def test_a_wildcard_means_names_below_it_and_nothing_that_only_ends_alike(host: str, below: str) -> None:
    assert fits([f"*.{host}"], f"{below}.{host}")
    assert not fits([f"*.{host}"], host)
    assert not fits([f"*.{host}"], f"{below}{host}") or f"{below}{host}".endswith(f".{host}")
    assert fits(["*"], host)


def test_networks_of_all_rules_that_fit_are_joined_and_others_stay_out() -> None:
    judge = rules(
        Allow(schemes=("http",), hosts=("*.corp",), cidr=("10.0.0.0/8",)),
        Allow(schemes=("http",), hosts=("cam.corp",), cidr=("192.168.7.0/24",)),
        Allow(schemes=("http",), hosts=("*",)),
        Allow(schemes=("ftp",), hosts=("*",), cidr=("127.0.0.0/8",)),
    )
    camera = way(judge, "http://cam.corp/").server.networks
    assert set(camera.named) == {ip_network("10.0.0.0/8"), ip_network("192.168.7.0/24")}
    assert camera.public
    assert way(judge, "http://elsewhere.example/").server.networks.named == ()


def test_schemes_that_share_connections_share_networks_but_not_their_permission() -> None:
    judge = rules(
        Allow(schemes=("dav",), hosts=("cam",), cidr=("10.0.0.0/8",)),
        Allow(schemes=("http",), hosts=("cam",), cidr=("192.168.7.0/24",)),
        Allow(schemes=("https", "ftp"), hosts=("cam",), cidr=("172.16.0.0/12",)),
    )
    shared = {ip_network("10.0.0.0/8"), ip_network("192.168.7.0/24")}
    for scheme in ("http", "dav"):
        assert set(way(judge, f"{scheme}://cam/").server.networks.named) == shared
    assert way(judge, "ftp://cam/").server.networks.named == (ip_network("172.16.0.0/12"),)
    assert refused(judge, "webhdfs://cam:80/").kind is Kind.FORBIDDEN


def test_the_first_rewrite_that_fits_counts_and_comes_before_the_allow_list() -> None:
    judge = rules(
        Allow(schemes=("http",), hosts=("inner",), ports=(8000,)),
        rewrite=(
            Rewrite(prefix="http://platform.example/", to="http://inner:8000/v/"),
            Rewrite(pattern=r"s3://(?P<bucket>[a-z]+)/(.*)", to=r"http://inner:8000/\g<bucket>/\2"),
            Rewrite(prefix="http://platform", to="http://never"),
        ),
    )
    assert way(judge, "http://platform.example/a?b").rest == "/v/a?b"
    assert way(judge, "s3://photos/a/b.jpg").rest == "/photos/a/b.jpg"
    assert refused(judge, "http://platform.other/").kind is Kind.FORBIDDEN
    assert refused(judge, "http://never.example/").kind is Kind.FORBIDDEN


def test_the_first_storage_entry_that_fits_counts() -> None:
    judge = rules(
        Allow(schemes=("http", "https"), hosts=("*",), ports=(80, 443, 8080)),
        storage=(
            Storage(hosts=("a.example",), ports=(8080,), concurrency=1),
            Storage(hosts=("*.example",), schemes=("https",), concurrency=2),
            Storage(hosts=("*.example",), concurrency=3),
        ),
    )
    seen = [
        way(judge, address).server.storage.concurrency
        for address in ("http://a.example:8080/", "https://a.example/", "http://a.example/", "http://other/")
    ]
    assert seen == [1, 2, 3, Storage(hosts=("*",)).concurrency]


@given(st.text(max_size=60))
def test_any_address_gets_a_way_or_a_reason_of_one_line(address: str) -> None:
    judge = rules(Allow(schemes=("http",), hosts=("*",)), rewrite=(Rewrite(prefix="x", to="http://h/"),))
    found = judge.way(address)
    if isinstance(found, Failure):
        assert found.kind in (Kind.BAD_ADDRESS, Kind.FORBIDDEN)
        assert "\n" not in found.reason


def test_a_reason_never_repeats_credentials_of_an_address() -> None:
    found = refused(rules(Allow(schemes=("http",), hosts=("*",))), "http://user:sesame@host/")
    assert "sesame" not in found.reason


def test_an_agents_toml_holds_it_all_and_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    text = """
[[agent.allow]]
schemes = ["http", "file"]
hosts = ["*.video.example"]
ports = [80, 8000]
cidr = ["10.20.0.0/16"]
roots = ["images"]

[[agent.rewrite]]
prefix = "http://public.example/"
to = "http://inner.video.example/"

[[agent.storage]]
hosts = ["*.video.example"]
user = "reader"
password_env = "VIDEO_PASSWORD"
rate = 50
most_bytes = 1000
"""
    reader = Reader(text, "site.toml", str(tmp_path))
    found = reader.read(EnvironmentRules, reader.root["agent"], ("agent",))
    reader.finish()
    assert found is not None
    assert found.allow[0].roots == (str(tmp_path / "images"),)
    assert found.storage[0].rate == 50.0
    assert way(Rules(found), "http://public.example/a").server.storage.user == "reader"
    broken = Reader(text.replace("10.20.0.0/16", "10.20.0.1/16").replace("rate = 50", "rate = -1"), "site.toml")
    broken.read(EnvironmentRules, broken.root["agent"], ("agent",))
    with pytest.raises(ConfigError) as error:
        broken.finish()
    assert "has host bits set" in str(error.value)
    assert "rate is -1" in str(error.value)


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        (Allow, {"schemes": ("http",)}),
        (Allow, {"schemes": ("file",)}),
        (Allow, {"schemes": ("http",), "hosts": ("a*b",)}),
        (Allow, {"schemes": ("http",), "hosts": ("a",), "ports": (0,)}),
        (Rewrite, {"to": "x"}),
        (Rewrite, {"to": "x", "prefix": "a", "pattern": "b"}),
        (Rewrite, {"to": r"\2", "pattern": "(a)"}),
        (Rewrite, {"to": "x", "pattern": "("}),
        (Storage, {"hosts": ("a",), "user": "u"}),
        (Storage, {"hosts": ("a",), "password_env": "P"}),
        (Storage, {"hosts": ("a",), "user": "u", "password_env": "P", "password_file": "p"}),
        (Storage, {"hosts": ("a",), "s3_region": "r"}),
        (Storage, {"hosts": ("a",), "client_key": "k"}),
    ],
)
def test_settings_that_contradict_each_other_are_refused(cls: type, values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        cls(**values)


def test_secrets_come_from_files_or_the_environment_and_never_show(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("sesame\n")
    found = secrets(Storage(hosts=("a",), user="u", password_file=str(file)), {})
    assert found == Secrets(password="sesame")
    assert "sesame" not in repr(found)
    assert secrets(Storage(hosts=("a",), token_env="T"), {"T": "t0ken"}).token == "t0ken"
    for storage in (
        Storage(hosts=("a",), token_env="T"),
        Storage(hosts=("a",), user="u", password_file=str(tmp_path / "none")),
    ):
        with pytest.raises(InputError):
            secrets(storage, {})
