"""`[console]` of a site's TOML: where the one server of a site listens, what it shows, how long sessions last.

Three rules decide where it may listen. The TOML itself: beyond loopback only with TLS, its own or that of a proxy
which `public_url` names. The people: beyond loopback only once somebody is known who could be asked for a password
or a key. And the name by which it is called: on loopback it answers to loopback's names alone, since a page of
the internet may let its own name point to 127.0.0.1 (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from isthmus.app.clock import SystemClock
from isthmus.app.sitepart import SitePart, open_toml
from isthmus.app.tls import check_tls
from isthmus.core.errors import Refused
from isthmus.core.settings import Reader, setting

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ConsolePart:
    """`[console]`: the site's one server, with its API and its pages."""

    host: str = setting("address to listen on", default="127.0.0.1")
    port: int = setting("port to listen on; 0: any free one", default=8460, minimum=0, maximum=65535)
    tls_certificate: str = setting("certificate chain, PEM", default="", path=True)
    tls_key: str = setting("private key of the certificate, PEM", default="", path=True)
    public_url: str = setting(
        "address that people type where a proxy stands in front, such as https://isthmus.example", default=""
    )
    proxies: tuple[str, ...] = setting(
        "addresses or networks of proxies whose X-Forwarded-For is believed", default=()
    )
    sites: tuple[str, ...] = setting(
        "TOMLs of other sites to show beside this one, or their folders", default=(), path=True
    )
    session_hours: float = setting(
        "a session ends so long after the login", default=12.0, minimum=0.01, maximum=8760, unit="hours"
    )
    idle_minutes: float = setting(
        "a session ends when nothing was asked for so long", default=60.0, minimum=0.5, unit="minutes"
    )
    state: str = setting(
        "folder of people, sessions and work; `console` in the site's state where empty", default="", path=True
    )

    def __post_init__(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together")
        scheme = _scheme(self.public_url)
        if not is_loopback(self.host) and not self.tls_certificate and scheme != "https":
            raise ValueError(
                f"host {self.host!r} is beyond loopback: set tls_certificate and tls_key first, "
                "or public_url where a proxy in front ends TLS"
            )
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"proxies has {proxy!r}, which is no address or network: {error}") from error

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by https."""
        return bool(self.tls_certificate) or _scheme(self.public_url) == "https"

    @property
    def beyond_loopback(self) -> bool:
        """Whether others than this machine reach it, through a proxy too."""
        name = urlsplit(self.public_url).hostname or ""
        return not is_loopback(self.host) or bool(name and not is_loopback(name))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the host names that it answers to, without ports; empty: to any, as beyond loopback."""
        if not is_loopback(self.host):
            return ()
        public = urlsplit(self.public_url).hostname
        return tuple(dict.fromkeys((*_LOCAL_NAMES, self.host, *((public,) if public else ()))))


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """What a site's TOML says about its console. `asked` tells whether it has a `[console]` at all."""

    path: Path
    site: SitePart
    console: ConsolePart
    asked: bool

    @property
    def state_folder(self) -> Path:
        """Where people, sessions, keys, the audit log and work lie."""
        own = self.path.resolve().parent / self.site.state / "console"
        return Path(self.console.state) if self.console.state else own

    @property
    def people_file(self) -> Path:
        """The SQLite file of people, keys, sessions and the audit log."""
        return self.state_folder / "people.sqlite"

    @property
    def sites(self) -> tuple[Path, ...]:
        """The TOMLs of all sites that are shown, this one's first."""
        others = (_toml(Path(text)) for text in self.console.sites)
        return tuple(dict.fromkeys((self.path, *others)))


def read_console_config(path: Path) -> ConsoleConfig:
    """Read and check `[site]` and `[console]` of a site's TOML; without `[console]` its defaults hold.

    Raises ConfigError with every mistake and its line, InputError where the file cannot be read.
    """
    reader = open_toml(path)
    site = reader.read(SitePart, reader.root.get("site", {}), ("site",))
    console = reader.read(ConsolePart, reader.root.get("console", {}), ("console",))
    if console is not None and "console" in reader.root:
        _judge(reader, console)
    reader.finish()
    assert site is not None and console is not None
    return ConsoleConfig(path, site, console, "console" in reader.root)


def _judge(reader: Reader, console: ConsolePart) -> None:
    """Note what cannot be right beside the other tables."""
    if console.public_url:
        parts = urlsplit(console.public_url)
        extra = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
        if parts.scheme not in ("http", "https") or not parts.hostname or extra:
            what = (
                f"public_url is {console.public_url!r}; write a scheme and a name, such as https://isthmus.example"
            )
            reader.mistake(("console", "public_url"), what)
    for table, port in (("acquire", 8480), ("sync", 8470)):
        other = reader.root.get(table)
        if not isinstance(other, dict) or not console.port:
            continue
        if other.get("port", port) == console.port and other.get("host", "127.0.0.1") == console.host:
            what = f"port {console.port} is that of [{table}] too: give one of them another"
            reader.mistake(("console", "port"), what)


def _toml(named: Path) -> Path:
    """Return the TOML of a site that is named by its file or, as `--site` does it, by its folder."""
    return (named / "isthmus.toml" if named.is_dir() else named).resolve()


def why_not_listen(console: ConsolePart, somebody: bool) -> str:
    """Say why the console must not listen where it is asked to; empty where it may.

    `somebody` tells whether a person or a key exists: until then nothing listens beyond loopback.
    """
    if somebody or not console.beyond_loopback:
        return ""
    where = console.host if not is_loopback(console.host) else console.public_url
    return f"nobody is known here yet, so the console does not listen at {where}"


def need_leave_to_listen(console: ConsolePart, somebody: bool) -> None:
    """Raise Refused, with what to do, where the console must not listen yet."""
    if why := why_not_listen(console, somebody):
        raise Refused(why, "make the first user: isthmus user add NAME --role admin")


def check_console(path: Path) -> tuple[str, list[str]]:
    """Check what `[console]` says and names; returns what it is, and notes on what may surprise.

    Raises ConfigError, InputError where a file that it names cannot be used.
    """
    config = read_console_config(path)
    part, notes = config.console, []
    for site in config.sites[1:]:
        open_toml(site)
    if part.tls_certificate:
        notes += check_tls(part.tls_certificate, part.tls_key, SystemClock().now())
    scheme = "https" if part.tls_certificate else "http"
    return f"a console at {scheme}://{part.host}:{part.port}", notes


def is_loopback(host: str) -> bool:
    """Tell whether an address or name is this machine's own loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _scheme(url: str) -> str:
    return urlsplit(url).scheme
