"""Looks at a whole site and says what is wrong and how to mend it. Nothing is changed by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from isthmus.app.product import filelooks, netlooks, setuplooks
from isthmus.app.product.asked import asked_for
from isthmus.app.product.finding import Finding, error, note, sorted_by_severity, warning
from isthmus.app.product.record import read_record
from isthmus.app.product.surroundings import Folder, Listener, Peer, Secret, surroundings_of
from isthmus.app.upconfig import UpConfig, kind_of, read_up_config
from isthmus.core.errors import ConfigError, IsthmusError, MissingExtra
from isthmus.core.progress import silent

_OF_STATE = ("[site] state", "[device] folder", "[agent] folder")


def examine(path: Path, *, network: bool = False) -> list[Finding]:
    """Look at the site whose TOML is at `path`, the worst first; with `network` its peers are called too.

    Raises InputError where the TOML cannot be read at all.
    """
    found = list(_toml(path))
    try:
        config = read_up_config(path)
    except ConfigError as wrong:
        known = {(one.where, one.what) for one in found}
        found += [one for one in _mistakes(wrong) if (one.where, one.what) not in known]
        return sorted_by_severity([*found, *setuplooks.versions()])
    return sorted_by_severity([*found, *_site(config, network)])


def _site(config: UpConfig, network: bool) -> Iterator[Finding]:
    parts = asked_for(config)
    names = [part.name for part in parts]
    things = surroundings_of(config)
    folders = [one for one in things if isinstance(one, Folder)]
    states = [one.path for one in folders if one.what in _OF_STATE]
    states += [one.path.parent for one in things if isinstance(one, Secret) and one.path.suffix == ".sqlite"]
    record = read_record(config.state_folder)
    yield from setuplooks.extras([part.name for part in asked_for(config, every=True)])
    yield from filelooks.folders(folders)
    yield from filelooks.space(one.path for one in folders)
    yield from filelooks.secrets(one for one in things if isinstance(one, Secret))
    yield from filelooks.states(states)
    yield from setuplooks.clock(states)
    if "recovery" in config.tables:
        yield from setuplooks.peer_clock(config.state_folder / "isthmus.sqlite")
    listeners = [one for one in things if isinstance(one, Listener) and one.part not in config.up.leave_out]
    yield from netlooks.ports(listeners, record)
    if network:
        yield from netlooks.peers(one for one in things if isinstance(one, Peer))
    if "console" in config.tables:
        yield from _people(config)
    for part in parts:
        if part.lacks and kind_of(part.name) != "device":
            yield warning(f"{part.name} cannot be started: {part.lacks}", part.because)
        elif part.lacks:
            yield note(part.lacks, part.because)
    if record is not None and record.lost:
        yield warning("isthmus up was killed, or the machine stopped", config.path, "start it again: isthmus up")
    yield from setuplooks.limits(names)
    yield from setuplooks.zone(config.site.timezone)
    yield from setuplooks.versions()
    yield from setuplooks.readers(names)
    if not parts:
        yield note("the TOML asks for nothing that isthmus up would run", config.path)


def _toml(path: Path) -> Iterator[Finding]:
    """Look at the TOML, and what its tables say of each other, as `isthmus check` does."""
    from isthmus.app.soundness import check

    try:
        sound = check(path, silent)
    except ConfigError as wrong:
        yield from _mistakes(wrong)
    except MissingExtra as wrong:
        yield error(wrong.what, path, wrong.hint)
    except ModuleNotFoundError as wrong:
        yield error(f"{wrong.name} is not installed", path, "the extras that are not whole are told too")
    except IsthmusError as wrong:
        yield error(wrong.what, path, wrong.hint)
    except OSError as wrong:
        yield error(wrong.strerror or str(wrong), wrong.filename or path)
    else:
        yield note(f"the TOML is sound: {sound.what}", path)
        for text in sound.notes:
            yield warning(*_halved(text)) if _to_do(text) else note(text)


def _mistakes(wrong: ConfigError) -> Iterator[Finding]:
    for mistake in wrong.mistakes:
        where = f"{mistake.file}:{mistake.line}" if mistake.line else mistake.file
        what, _, mend = mistake.what.partition("; ")
        yield error(what, where, mend)


def _to_do(text: str) -> bool:
    """Tell whether a note of the check asks for something: it names a command, or what is missing."""
    return "isthmus " in text or " yet" in text or " not there" in text


def _halved(text: str) -> tuple[str, str, str]:
    """Part a note into what is wrong and the command that mends it."""
    what, colon, mend = text.partition(": isthmus ")
    return (what, "", f"isthmus {mend}") if colon else (text, "", "")


def _people(config: UpConfig) -> Iterator[Finding]:
    """Look whether somebody is known who may use the console, where it listens beyond this machine."""
    try:
        from isthmus.app.clock import SystemClock
        from isthmus.app.console import read_console_config, why_not_listen
        from isthmus.app.people.access import Access

        console = read_console_config(config.path)
        somebody = False
        if console.people_file.exists():
            with closing(Access(console.people_file, SystemClock())) as access:
                somebody = access.anybody()
    except (IsthmusError, OSError, ModuleNotFoundError):
        return  # told by what looks at the TOML, the extras and the state
    mend = "isthmus user add NAME --role admin"
    if why := why_not_listen(console.console, somebody):
        yield error(why, "[console]", mend)
    elif not somebody:
        yield note("nobody is known to the console yet", "[console]", mend)
