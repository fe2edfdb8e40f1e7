from __future__ import annotations

import re
import shlex
import sys
import tomllib
import types
import typing
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from diagrams import DESIGN, DOCS, DRAWN_IN, MACHINES, TABLES, keyed, named, redrawn

PAGES = sorted(DESIGN.parent.rglob("*.md"))
README = DESIGN.parent.parent / "README.md"
ACQUIRE = (DOCS / "acquire.md").read_text(encoding="utf-8")
RECOVERY = (DOCS / "recovery.md").read_text(encoding="utf-8")
COMMANDS = [
    (page.name, command)
    for page in (README, *PAGES)
    for command in re.findall(r"(?:^|`)(isthmus [^`\n]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("page", DRAWN_IN, ids=lambda page: page.name)
def test_what_is_drawn_in_the_documents_is_what_the_code_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == redrawn(text), "draw it anew with: python tests/diagrams.py"


def test_every_machine_and_every_table_of_the_galleries_is_drawn_once() -> None:
    texts = [page.read_text(encoding="utf-8") for page in DRAWN_IN]
    assert [name for text in texts for name in named(text)] == list(MACHINES)
    assert sorted(name for text in texts for name in keyed(text)) == sorted(TABLES)
    source = DOCS.parent / "src" / "isthmus"
    machines = [
        name
        for file in source.rglob("*.py")
        for name in re.findall(r"^(\w+) = Machine\($", file.read_text(), re.M)
    ]
    assert len(machines) == len(MACHINES), machines


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_the_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda part: part[:40])
def test_every_command_in_the_documents_exists_with_its_options(
    page: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isthmus.faces.cli.main import isthmus

    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: value)  # files are examples
    command: click.Command = isthmus
    words = shlex.split(re.split(r" (?:>|>>|\|\|?) ", line)[0], comments=True)[1:]
    while isinstance(command, click.Group):
        context = click.Context(command)
        _, words, _ = command.make_parser(context).parse_args(words)
        if not words:  # prose that names a group
            return
        _, found, words = command.resolve_command(context, words)
        assert found is not None, f"{page}: {line}"
        command = found
    try:
        command.make_context(command.name or "", words)
    except click.MissingParameter:
        assert not words, f"{page}: {line}"  # prose that names a command


def test_commands_are_found_in_the_documents() -> None:
    assert len(COMMANDS) > 20
    assert ("look-around.md", "isthmus loop list") in COMMANDS


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_every_toml_in_the_documents_can_be_read(page: Path) -> None:
    for text in re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert tomllib.loads(text)


def test_the_rule_of_the_how_to_can_be_mined(tmp_path: Path) -> None:
    from isthmus.loop.rules.catalogue import Catalogue

    page = (DESIGN.parent / "how-to" / "add-a-rule.md").read_text(encoding="utf-8")
    path = tmp_path / "highway.toml"
    path.write_text(next(iter(re.findall(r"```toml\n(.*?)```", page, re.DOTALL))))
    bound = Catalogue.load([path]).bind("tight_cut_in and not hard_brake", {"tight_cut_in.tight_gap": "6"})
    assert "cut_in_gap_m <= 6" in str(bound.expression)


def test_the_extractor_of_the_how_to_finds_what_looks_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    import numpy as np

    from isthmus.gallery.match import Matrix
    from isthmus.imaging import extractors

    page = (DOCS / "how-to" / "add-an-extractor.md").read_text(encoding="utf-8")
    module = types.ModuleType("fleet_vision.colours")
    exec(next(iter(re.findall(r"```python\n(.*?)```", page, re.DOTALL))), vars(module))
    declared = tomllib.loads(next(iter(re.findall(r"```toml\n(.*?)```", page, re.DOTALL))))
    ((group, points),) = declared["project"]["entry-points"].items()
    monkeypatch.setitem(sys.modules, "fleet_vision", types.ModuleType("fleet_vision"))
    monkeypatch.setitem(sys.modules, "fleet_vision.colours", module)
    brought = [importlib.metadata.EntryPoint(name, value, group) for name, value in points.items()]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: brought)

    assert "colours" in extractors.names()
    extractor = extractors.load("colours")

    def striped(*colours: tuple[int, int, int]) -> bytes:
        vector = extractor.extract(np.array(colours * 12, np.uint8).reshape(12, -1, 3))
        assert vector is not None and len(vector) == extractor.model.size
        return vector

    red, blue, black = (200, 20, 20), (20, 20, 200), (5, 5, 5)
    matrix = Matrix(None, extractor.model)
    matrix.change(put=[(b"fire", striped(red, red, black)), (b"police", striped(blue, blue, (240, 240, 240)))])
    nearest, other = matrix.search(striped((180, 40, 30), red, black), 2)
    assert nearest.key == b"fire" and nearest.distance <= extractor.model.threshold < other.distance
    assert extractor.extract(np.full((9, 9, 3), 77, np.uint8)) is None


@pytest.mark.parametrize("number", range(5))
def test_the_sites_of_the_page_on_acquiring_are_read_as_they_stand(tmp_path: Path, number: int) -> None:
    from isthmus.app.acquiring.config import read_acquire_config

    texts = re.findall(r"```toml\n(.*?)```", ACQUIRE, re.DOTALL)
    assert len(texts) == 5
    path = tmp_path / "isthmus.toml"
    path.write_text(texts[number])
    config = read_acquire_config(path)
    assert config.acquire is not None or config.agent is not None


def test_the_site_of_the_page_on_recovery_is_read_as_it_stands(tmp_path: Path) -> None:
    from isthmus.app.recovery.config import read_recovery_config

    (text,) = re.findall(r"```toml\n(.*?)```", RECOVERY, re.DOTALL)
    path = tmp_path / "isthmus.toml"
    path.write_text(text)
    assert read_recovery_config(path).recovery.peer == "south"


def test_every_reason_statement_and_field_of_recovery_is_explained() -> None:
    from isthmus.recovery import sql
    from isthmus.recovery.eligibility import Why
    from isthmus.recovery.progress import Action, Picture, State, to_json

    for why in typing.get_args(Why):
        assert f"\n| {why} | " in RECOVERY
    (statements,) = re.findall(r"```sql\n(.*?)```", RECOVERY, re.DOTALL)
    assert len(sql.parse(statements)) == statements.count(";")
    shown = to_json(Picture(datetime.now(UTC), Action("Backup")))
    for field in (*shown, *shown["primary cluster"], *shown["primary cluster"]["backupRate"], *shown["apply"]):
        assert f"`{field}`" in RECOVERY, field
    assert all(state in RECOVERY for state in typing.get_args(State))


def test_the_lists_of_the_page_on_acquiring_are_taken_as_they_stand() -> None:
    from isthmus.acquire.server.intake import Form, read

    for kind, form, count in (("csv", Form.CSV, 2), ("json", Form.JSON, 1)):
        (text,) = re.findall(rf"```{kind}\n(.*?)```", ACQUIRE, re.DOTALL)
        found = read(text.encode(), form)
        assert (len(found.wishes), found.wrong) == (count, ())
    assert "thumbnails" in text


def test_every_kind_of_failure_state_role_field_and_metric_of_acquiring_is_explained() -> None:
    from isthmus.acquire import request
    from isthmus.acquire.failure import Kind, passing
    from isthmus.acquire.server import metrics
    from isthmus.acquire.server.keys import ROLES
    from isthmus.acquire.states import State

    for kind in Kind:
        assert f"| `{kind}` | {'yes' if passing(kind) else 'no'} | " in ACQUIRE, kind
    for word in (*(state.word for state in State), *ROLES):
        assert f"| `{word}` | " in ACQUIRE
    for field in request.Wish.__struct_fields__:
        assert f"`{field}`" in ACQUIRE, field
    families = metrics.families(metrics.Counts(), [], {"watchers": 0, "deliveries_at_work": 0}, datetime.now(UTC))
    for name, *_ in families:
        assert name.removeprefix("isthmus_acquire_") in ACQUIRE, name


def test_the_template_of_paths_is_the_one_that_is_explained() -> None:
    from isthmus.acquire.filing.naming import TEMPLATE

    assert f"\n{TEMPLATE}\n" in ACQUIRE


def test_a_delivery_as_the_formats_make_it_is_taken_and_its_known_answers_are_right() -> None:
    from blake3 import blake3

    from isthmus.acquire.delivery.receiving import Receiving
    from isthmus.acquire.delivery.signing import PrivateKey, SharedSecret, headers, verify
    from isthmus.acquire.failure import Failure

    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    made: dict[str, typing.Any] = {}
    exec(code, made)
    (text,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]{20,}", page))
    secret, now = SharedSecret.of_text(text), datetime.fromtimestamp(1_800_000_000, UTC)
    items = [
        {"request": 7, "fence": 9, "trace": "t", "size": 5, "digest": blake3(b"image").hexdigest()},
        {"request": 8, "fence": 1, "trace": "t", "failure": {"kind": "gone", "reason": "404", "after_s": None}},
    ]
    body, given = made["delivery"]("mine-1", text, items, [b"image"], 1_800_000_000, "msg_2")
    receiving = Receiving(Path("/nowhere/none"), verify([secret], given, now).digest, len(body))
    receiving.feed(body)
    image, failure = receiving.finish().parts
    assert not isinstance(image.outcome, Failure)
    assert image.outcome.read() == b"image"
    assert failure.outcome == Failure("gone", "404")  # type: ignore[arg-type]
    digest = re.findall(r"the digest `([0-9a-f]{64})` the signature is", " ".join(page.split()))[0]
    for signer in (secret, PrivateKey.of_text(text.replace("whsec_", "whsk_"))):
        assert headers(signer, digest, now, "msg_1")["webhook-signature"] in page


def test_every_verdict_on_a_delivery_stands_in_the_formats() -> None:
    from isthmus.acquire.ports import Verdict

    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    for verdict in typing.get_args(Verdict):
        assert f"\n| `{verdict}` | " in page
        assert f"`{verdict}`" in ACQUIRE


def test_every_exit_code_is_explained() -> None:
    from isthmus.core import errors

    codes = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")
    }
    text = DESIGN.read_text(encoding="utf-8")
    assert all(f"\n| {code} | " in text for code in {*codes, 0, 3, 130})


def test_every_decision_is_listed() -> None:
    folder = DESIGN.parent / "adr"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for page in folder.glob("0*.md"):
        assert f"({page.name})" in listed
        body = page.read_text(encoding="utf-8")
        assert all(f"\n## {part}\n" in body for part in ("Context", "Decision", "Consequences")), page.name


def test_every_message_of_the_device_protocol_stands_in_the_formats() -> None:
    from isthmus.gallery.sync import messages

    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    for side, kinds in (("device", messages.FromDevice), ("server", messages.FromServer)):
        for kind in typing.get_args(kinds):
            fields = ", ".join(kind.__struct_fields__)
            row = f"| {kind.__struct_config__.tag} | {kind.__name__} | {fields} | {side} |".replace("|  |", "| |")
            assert row in text
    for part in (messages.Claim, messages.Start, messages.Kind, messages.Want, messages.Act):
        assert f"| {part.__name__} |" in text


def test_every_alarm_is_explained_to_the_operator() -> None:
    from isthmus.transfer.alarm import Kind

    text = (DOCS / "gate.md").read_text(encoding="utf-8")
    assert all(f"\n| {kind.name} | " in text for kind in Kind)
