from __future__ import annotations

import datetime as dt
import ipaddress
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blake3 import blake3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent_doubles import InventingFetcher, Ledgerlet, content_of, proven
from agent_server import AgentServer
from isthmus.acquire.agent.credential import pin_of
from isthmus.acquire.agent.refusal import Away, Unacceptable
from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.agent.spool import Spool
from isthmus.acquire.agent.web_desk import WebDesk
from isthmus.acquire.agent.work import Agent
from isthmus.acquire.delivery.signing import PrivateKey, SharedSecret
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.ports import Got, Held, Parcel, Task
from isthmus.core.errors import Busy, Refused


class Now:
    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AgentServer]:
    server = AgentServer(Ledgerlet(6), tmp_path / "server")
    yield server
    server.close()


def desk_at(server: AgentServer, **changes: object) -> WebDesk:
    return WebDesk(server.credential(**changes), "north-1", patience_s=5)


def parcel_of(task: Task, outcome: Got | Failure | None = None) -> Parcel:
    content = content_of(task.address)
    return Parcel(task, outcome or Got(content, len(content), blake3(content).hexdigest()))


def test_tasks_are_claimed_kept_given_back_and_delivered_over_one_connection(server: AgentServer) -> None:
    desk = desk_at(server)
    claimed = desk.claim(4, 0)
    assert [task.address for task in claimed.tasks] == [f"mem://{n}" for n in (1, 2, 3, 4)]
    assert desk.beat([Held(1, 1), Held(2, 7)]) == [Held(2, 7)]
    desk.release([Held(4, 1)])
    parcels = [parcel_of(claimed.tasks[0]), parcel_of(claimed.tasks[1], Failure(Kind.GONE, "404"))]
    assert desk.deliver(claimed.callback, parcels) == ["filed", "noted"]
    assert desk.deliver(claimed.callback, parcels) == ["again", "again"]
    assert proven(server.ledger)
    assert server.connections == 1 and server.agents == {"north-1"}


def test_a_large_content_is_streamed_from_its_file(server: AgentServer, tmp_path: Path) -> None:
    desk = desk_at(server)
    claimed = desk.claim(1, 0)
    file = tmp_path / "large"
    file.write_bytes(content_of("x", 6 << 20))
    digest = blake3(file.read_bytes()).hexdigest()
    assert desk.deliver(claimed.callback, [parcel_of(claimed.tasks[0], Got(file, 6 << 20, digest))]) == ["filed"]
    assert server.ledger.contents[1] == digest


def test_an_environment_may_sign_with_a_key_of_its_own(server: AgentServer) -> None:
    server.signer = PrivateKey.create()
    desk = desk_at(server)
    claimed = desk.claim(1, 0)
    assert desk.deliver(claimed.callback, [parcel_of(claimed.tasks[0])]) == ["filed"]


def test_a_wrong_secret_or_a_wrong_clock_is_refused_before_anything_is_parsed(server: AgentServer) -> None:
    claimed = desk_at(server).claim(2, 0)
    wrong = WebDesk(server.credential(signing=SharedSecret.create().text()), "a")
    late = WebDesk(server.credential(), "a", now=lambda: datetime.now(UTC) - timedelta(minutes=6))
    for desk in (wrong, late):
        with pytest.raises(Refused, match="403"):
            desk.deliver(claimed.callback, [parcel_of(claimed.tasks[0])])
    assert not server.ledger.filed and len(server.refused) == 2


def test_answers_become_errors_that_say_what_to_do(server: AgentServer) -> None:
    desk = desk_at(server)
    claimed = desk.claim(1, 0)
    parcels = [parcel_of(claimed.tasks[0])]
    for status, error in (("503", Away), ("429", Away), ("500", Away), ("401", Refused), ("404", Refused)):
        server.fault = lambda path, number, status=status: status  # type: ignore[misc]
        with pytest.raises(error, match=status) as caught:
            desk.deliver(claimed.callback, parcels)
        assert "as the test says" in str(caught.value) and "\n" not in str(caught.value)
        if status == "503":
            assert isinstance(caught.value, Away) and caught.value.after_s == 1
    server.fault = lambda path, number: "422"
    with pytest.raises(Unacceptable):
        desk.deliver(claimed.callback, parcels)
    for fault in ("garbage", "half", "cut"):
        server.fault = lambda path, number, fault=fault: fault  # type: ignore[misc]
        with pytest.raises(Busy):
            desk.deliver(claimed.callback, parcels)
    server.fault = lambda path, number: ""
    assert desk.deliver(claimed.callback, parcels) == ["again"]


def test_a_server_that_says_no_before_it_has_read_all_is_heard(server: AgentServer, tmp_path: Path) -> None:
    desk = desk_at(server)
    claimed = desk.claim(1, 0)
    file = tmp_path / "large"
    file.write_bytes(bytes(6 << 20))
    got = Got(file, 6 << 20, blake3(file.read_bytes()).hexdigest())
    server.fault = lambda path, number: "early"
    with pytest.raises((Refused, Away)):
        desk.deliver(claimed.callback, [parcel_of(claimed.tasks[0], got)])


def test_a_silent_server_is_away_after_a_while(server: AgentServer) -> None:
    desk = WebDesk(server.credential(), "a", patience_s=0.2)
    server.fault = lambda path, number: "stall"
    with pytest.raises(Away, match="does not answer"):
        desk.claim(1, 0)


def test_a_server_that_is_not_there_is_away(server: AgentServer) -> None:
    credential = server.credential()
    server.close()
    with pytest.raises(Away, match="cannot be reached"):
        WebDesk(credential, "a").claim(1, 0)


def test_a_connection_that_was_closed_while_idle_is_opened_again(server: AgentServer) -> None:
    desk = desk_at(server)
    server.fault = lambda path, number: "cut" if number == 2 else ""
    desk.claim(1, 0)
    with pytest.raises(StopIteration):  # the second call is cut and made again on a fresh connection
        next(iter(desk.beat([])))
    assert server.connections == 2 and server.calls.count("/v1/agent/beat") == 2


def test_results_go_only_where_the_credential_allows(server: AgentServer) -> None:
    desk = desk_at(server)
    task = desk.claim(1, 0).tasks[0]
    for callback in ("http://127.0.0.1:1/x", "https://evil.example/x", "ftp://127.0.0.1/x", "x", ""):
        with pytest.raises(Refused):
            desk.deliver(callback, [parcel_of(task)])
    other = WebDesk(server.credential(server="http://localhost:1", deliver_to=(server.url,)), "a")
    assert other.deliver(f"{server.url}/v1/deliveries/token", [parcel_of(task)]) == ["filed"]


def test_a_wrong_key_is_refused(server: AgentServer) -> None:
    with pytest.raises(Refused, match="401"):
        desk_at(server, key="another-key-altogether").claim(1, 0)


def test_a_claim_that_waits_can_be_broken_off(server: AgentServer) -> None:
    server.ledger.queued.clear()
    desk, ended = desk_at(server), threading.Event()

    def claim() -> None:
        with pytest.raises(Busy):
            desk.claim(1, 30)
        ended.set()

    thread = threading.Thread(target=claim)
    thread.start()
    while not server.calls:
        ended.wait(0.01)
    desk.interrupt()
    assert ended.wait(5)
    thread.join()
    desk.release([Held(1, 1)])  # from another thread all else goes on
    with pytest.raises(Busy):
        desk.claim(1, 0)


def certificate(folder: Path) -> tuple[Path, Path, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "isthmus test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return chain, private, made.public_bytes(serialization.Encoding.DER)


def test_over_tls_the_authority_or_the_pin_of_the_credential_counts(tmp_path: Path) -> None:
    chain, private, der = certificate(tmp_path)
    server = AgentServer(Ledgerlet(4), tmp_path / "server", (chain, private))
    try:
        for changes in ({"ca": chain.read_text()}, {"pin": pin_of(der)}):
            desk = desk_at(server, **changes)
            claimed = desk.claim(1, 0)
            large = tmp_path / "large"
            large.write_bytes(content_of("x", 400_000))
            got = Got(large, 400_000, blake3(large.read_bytes()).hexdigest())
            assert desk.deliver(claimed.callback, [parcel_of(claimed.tasks[0], got)]) == ["filed"]
        for changes in ({}, {"pin": "0" * 64}):
            with pytest.raises(Refused, match="certificate"):
                desk_at(server, **changes).claim(1, 0)
    finally:
        server.close()


def test_at_a_server_that_fails_in_every_way_all_is_delivered_and_nothing_counts_twice(
    tmp_path: Path,
) -> None:
    server = AgentServer(Ledgerlet(400, lease_s=2), tmp_path / "server")
    faults = ["", "503", "", "cut", "half", "", "garbage", "503", "", "429"]
    server.fault = lambda path, number: faults[number % 10] if number < 30 and number > 1 else ""
    settings = AgentSettings(wait_s=0.1, least_pause_s=0.01, most_pause_s=0.05, spool_after_s=0.05, stop_s=5)
    (tmp_path / "fetched").mkdir()
    agent = Agent(
        desk_at(server),
        InventingFetcher(tmp_path / "fetched"),
        Spool(tmp_path / "spool", settings.spool_bytes),
        settings,
        Now(),
    )
    stop = threading.Event()
    thread = threading.Thread(target=agent.run, args=(stop,))
    thread.start()
    try:
        assert server.ledger.all_ended()
    finally:
        stop.set()
        thread.join(20)
        server.close()
    assert proven(server.ledger) and len(server.ledger.filed) == 400
