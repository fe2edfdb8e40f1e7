"""What goes wrong between an HTTP carrier and its door, and what becomes of it on both sides."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from blake3 import blake3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import carry_process
from carrying import TOKEN, Door, Line, door, line_to
from hostile_servers import head_of, path_of, response, scripted
from isthmus.core.errors import InputError, Refused
from isthmus.faces.http.carry import CarryHttpServer, Road
from isthmus.transfer.http import HttpCarrier
from isthmus.transfer.inbox import Caps
from isthmus.transfer.line import Patience, Tls
from small_disk import small_disk

NAME = "faces-000001-000000000001.tar"
OTHER = "faces-000001-000000000002.tar"


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Door]:
    with door(tmp_path / "inbox") as found:
        yield found


@pytest.fixture
def line(open_door: Door) -> Iterator[Line]:
    with line_to(open_door.port) as laid:
        yield laid


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3_000_000))
    return path


def lying(folder: Path) -> list[str]:
    """All that lies in a folder, hidden files too."""
    return sorted(one.name for one in folder.iterdir())


def quiet(folder: Path) -> bool:
    """Wait until no upload is under way any more."""
    for _ in range(1000):
        if not [name for name in lying(folder) if name.startswith(".")]:
            return True
        threading.Event().wait(0.01)
    return False


def test_a_bit_flipped_on_the_way_is_never_kept(open_door: Door, line: Line, file: Path) -> None:
    carrier, direct = open_door.carrier(port=line.port), open_door.carrier()
    for place in (1_000, 2_000_000):
        line.flip_there, line.times = place, 1
        with pytest.raises(OSError, match="did not come as it was sent") as caught:
            carrier.put(NAME, file)
        assert caught.value.errno == errno.EIO
        assert quiet(open_door.inbox.folder)
        assert direct.names() == []
    carrier.put(NAME, file)
    assert open_door.inbox.folder.joinpath(NAME).read_bytes() == file.read_bytes()


def test_a_put_that_is_cut_anywhere_leaves_the_file_that_was_there(
    open_door: Door, line: Line, file: Path, tmp_path: Path
) -> None:
    carrier = open_door.carrier(port=line.port)
    (tmp_path / "old").write_bytes(b"old")
    carrier.put(NAME, tmp_path / "old")
    carrier.close()
    for place in (0, 100, 5_000, 1_000_000, 2_999_999):
        line.cut_there, line.times = place, 9
        with pytest.raises(OSError):
            carrier.put(NAME, file)
        assert quiet(open_door.inbox.folder)
        assert lying(open_door.inbox.folder) == [NAME]
        assert open_door.inbox.folder.joinpath(NAME).read_bytes() == b"old"
    line.times = 0
    carrier.put(NAME, file)
    assert open_door.inbox.folder.joinpath(NAME).read_bytes() == file.read_bytes()


def test_a_file_that_is_replaced_while_it_is_fetched_comes_whole(
    open_door: Door, line: Line, file: Path, tmp_path: Path
) -> None:
    open_door.carrier().put(NAME, file)
    newer = tmp_path / "newer"
    newer.write_bytes(os.urandom(2_500_000))
    line.before_cut = lambda: open_door.carrier().put(NAME, newer)
    line.cut_back, line.times = 1_000_000, 1
    assert open_door.carrier(port=line.port).take(NAME, tmp_path / "copy") == 2_500_000
    assert (tmp_path / "copy").read_bytes() == newer.read_bytes()


def test_a_line_that_is_cut_each_time_a_little_further_on_is_enough(
    open_door: Door, line: Line, file: Path, tmp_path: Path
) -> None:
    open_door.carrier().put(NAME, file)
    line.cut_back, line.times = 400_000, 99
    assert open_door.carrier(port=line.port).take(NAME, tmp_path / "copy") == 3_000_000
    assert line.times < 95
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_a_file_that_never_gets_any_further_is_given_up(
    open_door: Door, line: Line, file: Path, tmp_path: Path
) -> None:
    open_door.carrier().put(NAME, file)
    line.cut_back, line.times = 2_000, 99
    with pytest.raises(OSError, match="broke off"):
        open_door.carrier(port=line.port).take(NAME, tmp_path / "copy")
    assert line.times > 90


def test_a_file_that_goes_while_it_is_fetched_is_not_found(
    open_door: Door, line: Line, file: Path, tmp_path: Path
) -> None:
    open_door.carrier().put(NAME, file)
    line.before_cut = lambda: open_door.carrier().drop(NAME)
    line.cut_back, line.times = 1_000_000, 1
    with pytest.raises(FileNotFoundError):
        open_door.carrier(port=line.port).take(NAME, tmp_path / "copy")


def test_a_disk_that_is_full_here_is_told_at_once(open_door: Door, file: Path, tmp_path: Path) -> None:
    open_door.carrier().put(NAME, file)
    with small_disk(tmp_path / "small", 1) as disk, pytest.raises(OSError) as caught:
        open_door.carrier().take(NAME, disk.folder / "copy")
    assert caught.value.errno == errno.ENOSPC


def test_a_server_that_stalls_is_waited_for_no_longer_than_is_allowed(
    open_door: Door, line: Line, file: Path, tmp_path: Path
) -> None:
    open_door.carrier().put(OTHER, file)
    carrier = open_door.carrier(port=line.port, patience=Patience(wait_s=0.3, resumes=1))
    line.stalled.set()
    for call in (
        carrier.names,
        lambda: carrier.put(NAME, file),
        lambda: carrier.look(OTHER),
        lambda: carrier.take(OTHER, tmp_path / "copy"),
        lambda: carrier.drop(OTHER),
    ):
        with pytest.raises(TimeoutError, match=r"did not go on for|was too slow"):
            call()
    assert open_door.carrier().names() == [OTHER]


def test_a_server_that_answers_byte_by_byte_does_not_hold_a_call_for_ever(tmp_path: Path) -> None:
    def dribble(connection: socket.socket, head: bytes) -> None:
        for byte in response(b"x" * 10_000):
            connection.sendall(bytes([byte]))
            threading.Event().wait(0.02)

    with scripted(dribble) as port:
        url = f"http://127.0.0.1:{port}/v1/carry/north"
        carrier = HttpCarrier(url, TOKEN, patience=Patience(wait_s=0.3, slowest=1 << 20, resumes=0))
        for call in (carrier.names, lambda: carrier.look(NAME), lambda: carrier.take(NAME, tmp_path / "copy")):
            with pytest.raises(TimeoutError, match="was too slow"):
                call()


@pytest.mark.parametrize("which", ["token", "road"])
def test_a_wrong_token_and_a_road_that_is_not_there_are_refused_alike(
    open_door: Door, file: Path, tmp_path: Path, which: str
) -> None:
    open_door.carrier().put(OTHER, file)
    wrong = "not-the-token-of-the-road"
    carrier = open_door.carrier(wrong) if which == "token" else open_door.carrier(road="south")
    for call in (
        carrier.names,
        lambda: carrier.put(NAME, file),
        lambda: carrier.look(OTHER),
        lambda: carrier.take(OTHER, tmp_path / "copy"),
        lambda: carrier.drop(OTHER),
    ):
        with pytest.raises(Refused, match="give the road's token") as caught:
            call()
        assert wrong not in repr(caught.value) and TOKEN not in repr(caught.value)
    assert lying(open_door.inbox.folder) == [OTHER]
    assert any(": 401" in said for said in open_door.said)
    assert not any(wrong in said for said in open_door.said)


def test_a_small_file_with_a_wrong_token_is_refused_too(open_door: Door, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * 200_000)
    for _ in range(5):
        with pytest.raises(Refused):
            open_door.carrier("not-the-token-of-the-road").put(NAME, tmp_path / "small")


def test_a_full_disk_at_the_server_is_told_as_one_and_leaves_nothing(file: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 8) as disk, door(disk.folder / "in", Caps(keep_free_bytes=0)) as found:
        carrier = found.carrier()
        carrier.put(NAME, file)
        disk.fill()
        with pytest.raises(OSError, match="507: the disk has no room") as caught:
            carrier.put(OTHER, file)
        assert caught.value.errno == errno.ENOSPC
        disk.empty()
        admit = found.inbox._admit
        found.inbox._admit = lambda name, size: disk.fill()  # type: ignore[method-assign]
        with pytest.raises(OSError):  # it fills up while the file comes
            carrier.put(OTHER, file)
        assert quiet(found.inbox.folder)
        assert lying(found.inbox.folder) == [NAME]
        found.inbox._admit = admit  # type: ignore[method-assign]
        disk.empty()
        carrier.put(OTHER, file)
        assert carrier.names() == [NAME, OTHER]


def test_a_file_beyond_the_cap_is_refused_before_it_is_sent(open_door: Door, file: Path, tmp_path: Path) -> None:
    caps = Caps(most_file_bytes=2_000_000, most_bytes=5_000_000, most_files=3)
    small = tmp_path / "smaller"
    small.write_bytes(bytes(1_900_000))
    with door(tmp_path / "capped", caps) as found, line_to(found.port) as line:
        carrier = found.carrier(port=line.port)
        with pytest.raises(OSError, match="2,000,000 at most") as caught:
            carrier.put(NAME, file)
        assert caught.value.errno == errno.EFBIG
        carrier.put(NAME, small)
        carrier.put(OTHER, small)
        carrier.put(OTHER, small)  # in place of the one that lies there
        with pytest.raises(OSError, match="no more is taken") as caught:
            carrier.put(OTHER.replace("2", "3"), small)
        assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("name", ["x", "../x", ".hidden", "faces-1-1.tar", "faces-000001-000000000001.exe", ""])
def test_names_that_are_not_carried_are_refused_on_both_sides(open_door: Door, file: Path, name: str) -> None:
    carrier = open_door.carrier()
    for call in (lambda: carrier.put(name, file), lambda: carrier.look(name), lambda: carrier.drop(name)):
        with pytest.raises(InputError):
            call()
    if not name:
        return
    open_door.inbox.folder.joinpath("x").write_bytes(b"of somebody else")
    heads = {"authorization": f"Bearer {TOKEN}", "isthmus-digest": blake3(b"y").hexdigest(), "isthmus-size": "1"}
    quoted = name.replace("/", "%2F")
    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        for told in (name, quoted):
            connection = HTTPConnection("127.0.0.1", open_door.port)
            connection.request(method, f"/v1/carry/north/{told}", b"y" if method == "PUT" else None, heads)
            assert connection.getresponse().status in (400, 404, 405)
            connection.close()
    assert lying(open_door.inbox.folder) == ["x"]
    assert open_door.inbox.folder.joinpath("x").read_bytes() == b"of somebody else"
    assert carrier.names() == []


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ({"content-length": "1"}, 400),
        ({"content-length": "1", "isthmus-digest": "0" * 63}, 400),
        ({"transfer-encoding": "chunked", "isthmus-digest": "0" * 64}, 411),
        ({"content-length": "1", "isthmus-digest": "0" * 64}, 422),
    ],
)
def test_a_put_that_does_not_tell_what_comes_is_refused(
    open_door: Door, head: dict[str, str], status: int
) -> None:
    connection = HTTPConnection("127.0.0.1", open_door.port)
    connection.putrequest("PUT", f"/v1/carry/north/{NAME}")
    for key, value in {"authorization": f"Bearer {TOKEN}", **head}.items():
        connection.putheader(key, value)
    connection.endheaders()
    connection.send(b"1\r\ny\r\n0\r\n\r\n" if "transfer-encoding" in head else b"y")
    assert connection.getresponse().status == status
    connection.close()
    assert quiet(open_door.inbox.folder)
    assert lying(open_door.inbox.folder) == []


def answering(body: bytes, status: str = "200 OK", *heads: str, length: int | None = None) -> Callable[..., None]:
    def answer(connection: socket.socket, head: bytes) -> None:
        connection.sendall(response(body, status, *heads, length=length))

    return answer


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"files": [3]}', b'{"files": [{"name": 3}]}', b"[" * 100_000, b'{"files": null}'],
    ids=range(7),
)
def test_a_listing_that_is_none_is_an_error_of_the_road(body: bytes) -> None:
    with scripted(answering(body)) as port, pytest.raises(OSError, match="no listing") as caught:
        HttpCarrier(f"http://127.0.0.1:{port}/v1/carry/north", TOKEN).names()
    assert caught.value.errno == errno.EPROTO


def test_names_that_lead_out_of_a_folder_are_left_out_of_a_listing() -> None:
    body = b'{"files": [{"name": "../../etc/passwd"}, {"name": "%s"}, {"name": ".x"}]}' % NAME.encode()
    with scripted(answering(body)) as port:
        assert HttpCarrier(f"http://127.0.0.1:{port}/v1/carry/north", TOKEN).names() == [NAME]


def test_a_door_that_says_the_token_back_does_not_bring_it_into_a_message() -> None:
    body = b'{"title": "you said ' + TOKEN.encode() + b'\\nand more\\u001b[31m"}'
    with scripted(answering(body, "500 Oops")) as port, pytest.raises(OSError) as caught:
        HttpCarrier(f"http://127.0.0.1:{port}/v1/carry/north", TOKEN).names()
    assert TOKEN not in str(caught.value)
    assert "you said …and more[31m" in str(caught.value)


def test_a_door_that_sends_elsewhere_is_not_followed() -> None:
    asked = []

    def answer(connection: socket.socket, head: bytes) -> None:
        asked.append((path_of(head), head_of(head, "authorization")))
        connection.sendall(response(b"", "302 Found", f"Location: http://127.0.0.1:{port}/thief"))

    with scripted(answer) as port, pytest.raises(OSError, match="give the address of the door itself"):
        HttpCarrier(f"http://127.0.0.1:{port}/v1/carry/north", TOKEN).names()
    assert asked == [("/v1/carry/north/", f"Bearer {TOKEN}")]


@pytest.mark.parametrize("told", ["", "bytes 0-9/10", "bytes 5-9/11", "bytes 4-9/10", "bytes x"])
def test_a_door_that_goes_on_at_another_place_is_begun_anew(tmp_path: Path, told: str) -> None:
    """The first answer is cut after half the file; the next one claims to be some stretch of it."""
    answers = iter(
        (
            response(b"01234", "200 OK", 'ETag: "1"', "Connection: close", length=10),
            response(b"?????", "206 Partial Content", 'ETag: "1"', f"Content-Range: {told}"),
            response(b"0123456789", "200 OK", 'ETag: "1"'),
        )
    )

    def answer(connection: socket.socket, head: bytes) -> None:
        connection.sendall(next(answers))
        connection.shutdown(socket.SHUT_WR)

    with scripted(answer) as port:
        url = f"http://127.0.0.1:{port}/v1/carry/north"
        assert HttpCarrier(url, TOKEN, pause=lambda seconds: None).take(NAME, tmp_path / "copy") == 10
    assert (tmp_path / "copy").read_bytes() == b"0123456789"


@pytest.mark.parametrize("at", ["inbox written", "inbox synced", "inbox renamed"])
def test_a_server_killed_while_it_takes_a_file_keeps_all_of_it_or_nothing(
    tmp_path: Path, file: Path, at: str
) -> None:
    folder = tmp_path / "inbox"
    environment = {**os.environ, "PYTHONPATH": str(Path(carry_process.__file__).parent), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, carry_process.__file__, str(folder), at], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        carrier = HttpCarrier(f"http://127.0.0.1:{port}/v1/carry/north", TOKEN)
        with pytest.raises(OSError):
            carrier.put(NAME, file)
        assert process.wait(20) == -signal.SIGKILL
    with door(folder) as found:
        kept = at == "inbox renamed"
        assert found.carrier().names() == ([NAME] if kept else [])
        assert lying(folder) == ([NAME] if kept else []), "what the crash left is swept"
        found.carrier().put(NAME, file)
        assert (folder / NAME).read_bytes() == file.read_bytes()


def certified(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate of loopback that vouches for itself; return it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def test_tls_lets_in_whom_both_sides_believe_and_nobody_else(tmp_path: Path, file: Path) -> None:
    (server, server_key), (client, client_key) = certified(tmp_path, "server"), certified(tmp_path, "client")
    with door(tmp_path / "inbox", certificate=str(server), key=str(server_key), clients=str(client)) as found:
        carrier = found.carrier(tls=Tls(server, client, client_key))
        carrier.put(NAME, file)
        assert carrier.take(NAME, tmp_path / "copy") == 3_000_000
        assert carrier.names() == [NAME]
        for tls in (Tls(server), Tls(client, client, client_key), Tls()):
            with pytest.raises(OSError):
                found.carrier(tls=tls).names()
        assert found.carrier(tls=Tls(server, client, client_key)).names() == [NAME]
    with pytest.raises(InputError, match="cannot be used"):
        HttpCarrier("https://127.0.0.1/v1/carry/north", TOKEN, Tls(tmp_path / "missing.pem"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org/v1/carry/x", "in the clear"),
        ("https://a:b@example.org/v1/carry/x", "name or password"),
        ("https://example.org/v1/carry/x?token=y", "is told as"),
        ("ftp://example.org/x", "is told as"),
        ("/v1/carry/x", "is told as"),
    ],
)
def test_addresses_that_would_give_the_token_away_are_refused(url: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        HttpCarrier(url, TOKEN)


@pytest.mark.parametrize("token", ["", "two words", "line\r\nhost: x", "naïve"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InputError, match="no token has"):
        HttpCarrier("https://example.org/v1/carry/x", token)


def test_a_door_beyond_loopback_without_a_certificate_and_a_token_that_can_be_guessed_are_refused(
    open_door: Door,
) -> None:
    with pytest.raises(InputError, match="in the clear"):
        CarryHttpServer({}, host="0.0.0.0")
    with pytest.raises(InputError, match="openssl rand"):
        Road.of(open_door.inbox, "short")
    with pytest.raises(InputError, match="openssl rand"):
        Road.of(open_door.inbox)
