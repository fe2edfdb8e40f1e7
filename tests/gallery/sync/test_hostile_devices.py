"""A device that lies or speaks nonsense gets a refusal or a needless transfer, never another's gallery."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from gallery_doubles import PEOPLE, World, held, photo, truth
from isthmus.core.errors import Refused
from isthmus.gallery.sync import messages
from isthmus.gallery.sync.messages import (
    FORMAT,
    Act,
    Acts,
    Again,
    Bye,
    Claim,
    Closed,
    Done,
    End,
    Gone,
    Hello,
    Items,
    Leaves,
    More,
    Piece,
    Pull,
    Ranges,
    Refusal,
    Want,
    Welcome,
)
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.gallery.sync.server import Served
from isthmus.gallery.sync.serving import serve
from isthmus.gallery.sync.states import SESSION
from isthmus.transfer.channel import MOST_MESSAGE_BYTES, ChannelClosed, memory_pair

CLAIM = Claim(PEOPLE, b"", Mode.IMAGES, "", -1, 0, bytes(32))
SECRET = "secret.people"


def spoken(world: World, *said: messages.FromDevice | bytes) -> tuple[Served, list[messages.FromServer]]:
    """Say some messages to the server, then close; returns what it answered."""

    async def both() -> tuple[Served, list[messages.FromServer]]:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(serve(world.server, theirs, "station-7"))
        for message in said:
            await ours.send(message if isinstance(message, bytes) else messages.encode(message))
        await ours._sent.put(None)  # this way only: what the server says is still to be read
        served = await serving
        await theirs._sent.put(None)
        answers = []
        try:
            while True:
                answers.append(messages.of_server(await ours.receive()))
        except ChannelClosed:
            return served, answers

    return asyncio.run(both())


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.fill(6, size=500)
    world.fill(3, gallery=SECRET, size=500)
    world.policy.table = {PEOPLE: Mode.IMAGES}
    return world


HELLO = Hello(FORMAT, [])
ACTS = Acts(b"q", [Act(1, "", "", "", "", "")] * 500)


@pytest.mark.parametrize(
    "said",
    [
        [b""],
        [b"\0"],
        [b"\2abc"],
        [b"\1not zstd"],
        [b"\1" + zstandard.compress(b"\0" * 10_000_000)],
        [b"\0" + msgspec.msgpack.encode([1, 2, 3, 4, 5, 6])],
        [b"\0" + msgspec.msgpack.encode({"Hello": 1})],
        [b"\0" + b"\x91" * 60_000],
        [b"\0" + b"\xdd\xff\xff\xff\xff"],
        [Hello(2, [])],
        [Bye()],
        [Done(bytes(32), 0)],
        [Pull([Want(bytes(32), 0, 1)])],
        [HELLO, HELLO],
        [HELLO, More(8), More(8)],
        [HELLO, Ranges(0, b"", bytes(8))],
        [HELLO, Again(Tier.EQUAL)],
        [HELLO, Again(Tier.SNAPSHOT), Again(Tier.SNAPSHOT), Again(Tier.SNAPSHOT), Again(Tier.SNAPSHOT)],
        [HELLO, Again(Tier.RECONCILE), Ranges(3, b"", bytes(8))],
        [HELLO, Again(Tier.RECONCILE), Ranges(7, b"", bytes(8))],
        [HELLO, Again(Tier.RECONCILE), Ranges(8, bytes(4), bytes(128))],
        [HELLO, Again(Tier.RECONCILE), Ranges(1, b"\1\0\0\0", bytes(128))],
        [HELLO, Again(Tier.RECONCILE), Ranges(2, b"\2\0\0\0\1\0\0\0", bytes(256))],
        [HELLO, Again(Tier.RECONCILE), Ranges(2, b"\1", bytes(128))],
        [HELLO, Again(Tier.RECONCILE), Leaves(1, b"\0", b"")],
        [HELLO, Again(Tier.RECONCILE), Leaves(0, b"\0\0\0\0", b"123")],
        [HELLO, Again(Tier.RECONCILE), Leaves(1, b"\xff\0\0\0", b"")],
        [HELLO, Again(Tier.RECONCILE), *[Leaves(8, b"", bytes(60_000), True)] * 40],
        [HELLO, Pull([Want(bytes(32), 0, messages.CREDIT_BYTES)] * 2)],
        [HELLO, *[ACTS] * 41],
    ],
)
def test_nonsense_is_refused_in_one_line(world: World, said: list[messages.FromDevice | bytes]) -> None:
    served, answers = spoken(world, *said)
    assert isinstance(answers[-1], Refusal) and "\n" not in answers[-1].reason
    assert served.ended and "refused" in {entry.act for entry in world.audit.entries()}


def test_an_empty_listing_of_leaves_is_answered(world: World) -> None:
    _, answers = spoken(world, HELLO, Again(Tier.RECONCILE), Leaves(0, b"", b""), Bye())
    assert isinstance(answers[-1], End) and answers[-1].count == 6


def test_content_of_other_galleries_is_not_to_be_had(world: World) -> None:
    """Neither by digest, nor by claiming to hold the gallery."""
    secret = next(world.set.records(SECRET)).image
    claim = Claim(SECRET, world.epochs.of(SECRET).id, Mode.IMAGES, "", 1, 1, bytes(32))
    _, answers = spoken(world, Hello(FORMAT, [claim]), Pull([Want(secret.digest, 0, 500)]), Bye())
    assert isinstance(answers[0], Welcome) and answers[0].dropped == [SECRET]
    assert [start.gallery for start in answers[0].starts] == [PEOPLE]
    assert isinstance(answers[-1], Gone)
    assert not any(isinstance(answer, Piece) for answer in answers)
    assert all(SECRET.encode() not in item.attributes for a in answers if isinstance(a, Items) for item in a.items)


def test_content_is_only_to_be_had_until_its_page_is_committed(world: World) -> None:
    wanted = next(world.set.records(PEOPLE)).image
    pull = Pull([Want(wanted.digest, 0, wanted.size)])
    _, answers = spoken(world, HELLO, pull, More(1), pull, Bye())
    assert [type(answer) for answer in answers[-2:]] == [Piece, Gone]


def test_a_stretch_beyond_the_end_of_a_content_is_refused(world: World) -> None:
    wanted = next(world.set.records(PEOPLE)).image
    _, answers = spoken(world, HELLO, Pull([Want(wanted.digest, wanted.size, 1)]))
    assert isinstance(answers[-1], Refusal)


@pytest.mark.parametrize("change", [-1, 0, 3, 8, 9, 1 << 60])
@pytest.mark.parametrize("right_epoch", [False, True])
@pytest.mark.parametrize("digest", ["its own", "the server's"])
def test_a_device_that_lies_about_its_position_is_brought_up_to_date_all_the_same(
    world: World, change: int, right_epoch: bool, digest: str
) -> None:
    """The claim of the server's own digest alone is believed: such a device fools itself, once."""
    device = world.device()
    world.sync(device)
    world.set.remove(PEOPLE, 2)
    world.add(77, size=500)
    claim = device.claims()[0]
    view = asyncio.run(asyncio.run(world.server.index(PEOPLE, Mode.IMAGES)).view())
    lie = msgspec.structs.replace(claim, change=change, epoch=claim.epoch if right_epoch else b"whatever")
    if digest == "the server's":
        lie = msgspec.structs.replace(lie, digest=view.digest, count=view.count)
    true = device.claims
    device.claims = lambda: [lie]  # type: ignore[method-assign]
    believed = digest == "the server's" and right_epoch and change >= 0
    report = world.sync(device)
    device.claims = true  # type: ignore[method-assign]
    if believed:
        assert report.galleries[0].tiers == [Tier.EQUAL]
        report = world.sync(device)
    assert held(device) == truth(world)


def test_a_device_that_claims_a_wrong_digest_at_the_end_is_noted(world: World) -> None:
    _, answers = spoken(world, HELLO, Done(b"x" * 32, 6), Bye())
    assert answers[-1] == Closed(False)
    assert world.audit.entries()[-1].act == "received with another digest"


def prefixes(found: set[int]) -> bytes:
    return np.array(sorted(found), "<u4").tobytes()


said = st.one_of(
    st.binary(max_size=300),
    st.builds(Hello, st.just(FORMAT), st.lists(st.just(CLAIM), max_size=2), st.booleans()),
    st.builds(Ranges, st.integers(0, 8), st.sets(st.integers(0, 70000), max_size=3).map(prefixes),
              st.sampled_from([b"", bytes(8), bytes(128), bytes(384)]), st.booleans()),
    st.builds(Leaves, st.integers(0, 8), st.sampled_from([b"", bytes(4), b"\1\0\0\0\2\0\0\0"]),
              st.integers(0, 5).map(lambda n: bytes(range(16)) * n), st.booleans()),
    st.builds(More, st.integers(1, 8)),
    st.builds(Pull, st.lists(st.builds(Want, st.just(photo("x", 32)), st.integers(0, 600), st.integers(1, 600)),
                             min_size=1, max_size=3)),
    st.builds(Again, st.sampled_from(list(Tier))),
    st.builds(Done, st.just(bytes(32)), st.integers(0, 7)),
    st.builds(Acts, st.just(b"q"), st.just([])),
    st.just(Bye()),
)  # fmt: skip


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.booleans(), st.lists(said, max_size=8))
def test_whatever_a_device_says_the_server_answers_or_refuses(world: World, greets: bool, messages_: list) -> None:
    served, answers = spoken(world, *([HELLO] if greets else []), *messages_)
    assert served.device == "station-7"
    assert all(start.gallery == PEOPLE for a in answers if isinstance(a, Welcome) for start in a.starts)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 1))
def test_bytes_are_a_message_or_refused(content: bytes, form: int) -> None:
    for read in (messages.of_device, messages.of_server):
        try:
            found = read(bytes([form]) + content)
        except Refused:
            continue
        assert read(messages.encode(found)) == found


def test_a_message_that_is_too_large_is_refused() -> None:
    with pytest.raises(Refused):
        messages.of_device(b"\0" + bytes(MOST_MESSAGE_BYTES))


@pytest.mark.parametrize(
    "answers",
    [
        [b"nonsense"],
        [Closed(True)],
        [Piece(bytes(32), 0, b"x")],
        [Refusal("go away")],
        [Welcome([], [PEOPLE + "x"]), Closed(True)],
    ],
)
def test_a_device_is_not_broken_by_a_server_that_speaks_nonsense(tmp_path: Path, answers: list) -> None:
    from isthmus.gallery.sync.pull import pull

    world = World(tmp_path)
    device = world.device()

    async def both() -> None:
        ours, theirs = memory_pair()
        for answer in answers:
            await theirs.send(answer if isinstance(answer, bytes) else messages.encode(answer))
        await pull(ours, device)

    if isinstance(answers[0], Welcome):
        asyncio.run(both())
    else:
        with pytest.raises(Refused):
            asyncio.run(both())
    assert not device.galleries()


def test_the_rows_of_a_session_make_a_diagram() -> None:
    assert SESSION.diagram().startswith("stateDiagram") and SESSION.terminal == {"over"}


def test_a_device_that_is_revoked_while_it_is_served_gets_nothing_more(world: World) -> None:
    async def both() -> tuple[Served, list[messages.FromServer]]:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(serve(world.server, theirs, "station-7"))
        await ours.send(messages.encode(Hello(FORMAT, [])))
        answers = [messages.of_server(await ours.receive()) for _ in range(3)]
        assert isinstance(answers[1], Items)
        content = answers[1].items[0].image
        assert content is not None
        world.policy.revoked = True
        await ours.send(messages.encode(Pull([Want(content.digest, 0, content.size)])))
        answers.append(messages.of_server(await ours.receive()))
        return await serving, answers

    served, answers = asyncio.run(both())
    assert [type(answer) for answer in answers] == [Welcome, Items, End, Refusal]
    assert "revoked" in served.ended
