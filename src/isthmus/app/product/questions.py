"""What a person is asked who makes a new site: which questions a role has, and what the answers set in its TOML.

Decided without a terminal, so that a face asks in its own way: `following` gives the next question until there is
none. An answer that will not do is told by `wrong`, before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from isthmus.app.product.tomledit import Setting

ROLES: dict[str, str] = {
    "loop": "scenes from simulations, ROS recordings and batches, to trained and released models",
    "acquire": "the interface server that is asked for images",
    "agent": "works for an interface server inside a network environment",
    "inner": "galleries are changed here, and cross a one-way gate",
    "outer": "follows an inner site's galleries beyond the gate, and serves devices",
    "device": "a portable device that holds galleries and identifies photos",
    "primary": "its tables are kept on another site, ready to take over",
    "standby": "keeps another site's tables",
}
"""By role, what such a site is for."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
CONSOLE_PORT = 8460
NONE = "none"
"""The answer that leaves a key empty which has choices."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: what it sets, how it is put, and what is taken where a person just presses enter.

    `table` is empty for what no key of the TOML holds by itself. `optional`: an empty answer sets nothing.
    """

    table: str
    key: str
    text: str
    default: str = ""
    choices: tuple[str, ...] = ()
    optional: bool = False
    kind: str = "text"

    @property
    def name(self) -> str:
        """What the answer is remembered by."""
        return f"{self.table}.{self.key}"


Answers = Mapping[str, str]


def questions(role: str, answers: Answers, folder_name: str = "site") -> list[Question]:
    """List what a site of a role is asked, as far as the answers until now tell."""
    of_role = _OF_ROLE[role](answers) if role in _OF_ROLE else []
    return [*_of_every_site(folder_name), *of_role, *_of_console(role, answers)]


def following(role: str, answers: Answers, folder_name: str = "site") -> Question | None:
    """Return the next question that has no answer yet; None where all are answered."""
    return next((one for one in questions(role, answers, folder_name) if one.name not in answers), None)


def wrong(question: Question, answer: str) -> str:
    """Say what is wrong with an answer; empty where it will do."""
    if not answer:
        return "" if question.optional else "an answer is needed"
    if question.choices and answer not in question.choices:
        return f"one of {', '.join(question.choices)}"
    return _KINDS[question.kind](answer)


def settings_of(answers: Answers, role: str) -> list[Setting]:
    """Return what the answers set in the TOML that the role begins with."""
    return [
        Setting(one.table, one.key, _value(one, answers[one.name]))
        for one in questions(role, answers)
        if one.table and one.name in answers and (answers[one.name] or not one.optional)
    ]


def _value(question: Question, answer: str) -> object:
    if question.kind == "port":
        return int(answer)
    if question.kind == "keys":
        return [answer]
    return "" if question.choices and answer == NONE else answer


def more_of(answers: Answers) -> str:
    """Return what the answers add to the TOML beside keys of its tables."""
    text = ""
    if hosts := answers.get(".hosts", "").split():
        named = ", ".join(f'"{host}"' for host in hosts)
        text += f'\n[[agent.allow]]\nschemes = ["http", "https"]\nhosts = [{named}]\n'
    if answers.get(".console") == "yes":
        text += console_table(int(answers[".console_port"]))
    return text


def console_table(port: int = CONSOLE_PORT) -> str:
    """Return the table of a site's console, commented."""
    return (
        "\n# Pages and the API of this site: isthmus up runs them with all else.\n\n[console]\n"
        f'host = "127.0.0.1"       # beyond loopback: tls_certificate, tls_key, and a user: isthmus user add\n'
        f"port = {port}\n"
    )


def _of_every_site(folder_name: str) -> list[Question]:
    return [
        Question("site", "name", "The site's name", folder_name, kind="name"),
        Question("site", "timezone", "Time zone of its days and schedules", "UTC", kind="zone"),
    ]


def _acquire(answers: Answers) -> list[Question]:
    asked = _listening("acquire", "8480", answers)
    return [
        *asked,
        Question("acquire.server", "public_url", "Its address as agents reach it", optional=True, kind="url"),
    ]


def _agent(answers: Answers) -> list[Question]:
    return [
        Question("agent", "credential", "The credential that the server's operator made", "agent.json"),
        Question("", "hosts", "Hosts that it may be asked to fetch from, with blanks between", optional=True),
    ]


def _inner(answers: Answers) -> list[Question]:
    return [Question("gate", "folder", "The folder that the gatekeeper takes files from", "gate")]


def _outer(answers: Answers) -> list[Question]:
    return [
        Question("gate", "folder", "The folder that the gatekeeper puts files into", "gate"),
        Question("gate", "trust", "The sender's public key, ed25519:…", optional=True, kind="keys"),
        Question("gallery", "extractor", "What makes vectors of images", "faces", ("faces", "phash", NONE)),
        *_listening("sync", "8470", answers),
    ]


def _device(answers: Answers) -> list[Question]:
    return [
        Question(
            "device", "extractor", "What makes vectors of probes, as at the server", "faces", ("faces", "phash")
        ),
        Question("ice", "stun", "A STUN server beyond NAT, stun:host:port", optional=True, kind="stun"),
    ]


def _pair(answers: Answers) -> list[Question]:
    peer = answers.get("recovery.peer", "")
    asked = [
        Question("recovery", "peer", "The other site's name", kind="name"),
        Question(
            "recovery", "road", "What carries files between the sites", "folder", ("folder", "http", "s3", "gate")
        ),
        Question("recovery", "out_place", "Where files for the other site go", f"exchange/to-{peer}"),
        Question("recovery", "in_place", "Where files of the other site come", f"exchange/from-{peer}"),
        Question("recovery", "trust", "The other site's public key, ed25519:…", optional=True, kind="keys"),
    ]
    places = [answers.get(f"recovery.{key}", "") for key in ("out_place", "in_place")]
    if answers.get("recovery.road") in ("http", "s3") and any("://" in place for place in places):
        asked.append(Question("recovery", "token_file", "The file with the secret for that place", "keys/token"))
    if answers.get("recovery.road") == "http" and not all("://" in place for place in places):
        asked.append(Question("recovery.door", "port", "The port of this site's door", "8490", kind="port"))
        asked.append(Question("recovery.door", "token_file", "The file with the token that opens it", "keys/door"))
    return asked


_OF_ROLE: dict[str, Callable[[Answers], list[Question]]] = {
    "acquire": _acquire,
    "agent": _agent,
    "inner": _inner,
    "outer": _outer,
    "device": _device,
    "primary": _pair,
    "standby": _pair,
}


def _listening(table: str, port: str, answers: Answers) -> list[Question]:
    """Ask where a server listens; beyond loopback it needs a certificate."""
    asked = [
        Question(table, "host", "The address to listen on", "127.0.0.1"),
        Question(table, "port", "The port to listen on", port, kind="port"),
    ]
    if answers.get(f"{table}.host", "127.0.0.1") not in LOOPBACK:
        asked.append(Question(table, "tls_certificate", "Its certificate chain, a PEM file", "tls/chain.pem"))
        asked.append(Question(table, "tls_key", "The certificate's key, a PEM file", "tls/key.pem"))
    return asked


def _of_console(role: str, answers: Answers) -> list[Question]:
    default = "no" if role in ("device", "agent") else "yes"
    asked = [Question("", "console", "A console with pages and the API here", default, ("yes", "no"))]
    if answers.get(".console") == "yes":
        taken = {answer for name, answer in answers.items() if name.endswith(".port")}
        free = next(str(port) for port in range(CONSOLE_PORT, CONSOLE_PORT + 100) if str(port) not in taken)
        asked.append(Question("", "console_port", "The console's port", free, kind="port"))
    return asked


def _name(answer: str) -> str:
    return "" if re.fullmatch(r"[\w-]{1,64}", answer) else "use letters, digits, - and _, 64 at most"


def _port(answer: str) -> str:
    return "" if answer.isdigit() and 0 <= int(answer) <= 65535 else "a number from 0 to 65535"


def _url(answer: str) -> str:
    return "" if re.fullmatch(r"https?://[^\s/]+(/\S*)?", answer) else "write it as https://host:port"


def _zone(answer: str) -> str:
    try:
        ZoneInfo(answer)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "write one such as Europe/Berlin"
    return ""


def _key(answer: str) -> str:
    return (
        "" if re.fullmatch(r"ed25519:[A-Za-z0-9+/]{43}=", answer) else "write it as it is shown there: ed25519:…"
    )


def _stun(answer: str) -> str:
    return "" if re.fullmatch(r"stuns?:\S+", answer) else "write it as stun:host:port"


_KINDS: dict[str, Callable[[str], str]] = {
    "text": lambda answer: "",
    "name": _name,
    "port": _port,
    "url": _url,
    "zone": _zone,
    "keys": _key,
    "stun": _stun,
}
