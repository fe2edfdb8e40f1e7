from __future__ import annotations

import contextlib
import gzip
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from hostile_servers import free_port, head_of, nginx, path_of, response, scripted
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.fetcher import Fetching
from isthmus.acquire.fetch.settings import Allow, EnvironmentRules, Storage
from isthmus.acquire.ports import Got, Order
from isthmus.core.errors import InputError

PORTS = tuple(range(1, 65536))
LOOPBACK = Allow(schemes=("http",), hosts=("*",), ports=PORTS, cidr=("127.0.0.0/8",))


@contextlib.contextmanager
def fetching(folder: Path, *allow: Allow, names: Callable[[str, int], Sequence[str]] | None = None,
             at_once: int = 64, **storage: object) -> Iterator[Fetching]:  # fmt: skip
    treated = Storage(hosts=("*",), **storage)  # type: ignore[arg-type]
    rules = EnvironmentRules(allow=allow or (LOOPBACK,), storage=(treated,), at_once=at_once)
    made = Fetching(rules, folder, names=names)
    try:
        yield made
    finally:
        made.close()


def get(fetcher: Fetching, *addresses: str, until_s: float = 20.0) -> list[Got | Failure]:
    fetcher.place([Order(number, address, until_s) for number, address in enumerate(addresses)])
    found: dict[int, Got | Failure] = {}
    while len(found) < len(addresses):
        came = fetcher.results(30.0)
        assert came, "nothing came"
        found.update(came)
    return [found[number] for number in range(len(addresses))]


def one(fetcher: Fetching, address: str, until_s: float = 20.0) -> Got | Failure:
    return get(fetcher, address, until_s=until_s)[0]


def failed(outcome: Got | Failure, kind: Kind) -> Failure:
    assert isinstance(outcome, Failure), outcome
    assert outcome.kind is kind, outcome
    assert "\n" not in outcome.reason
    return outcome


def test_images_come_from_nginx_small_as_bytes_and_large_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    small, large = os.urandom(20_000), os.urandom(3_000_000)
    (tmp_path / "root" / "small.jpg").write_bytes(small)
    (tmp_path / "root" / "large.jpg").write_bytes(large)
    with nginx(tmp_path) as port, fetching(tmp_path / "out") as fetcher:
        base = f"http://127.0.0.1:{port}"
        first, second, third = get(fetcher, f"{base}/small.jpg", f"{base}/large.jpg", f"{base}/none.jpg")
        assert isinstance(first, Got)
        assert isinstance(second, Got)
        assert (first.content, first.digest) == (small, blake3(small).hexdigest())
        assert first.told.content_type == "image/jpeg"
        assert first.told.etag
        assert first.told.modified is not None
        assert isinstance(second.content, Path)
        assert second.content.read_bytes() == large
        assert (second.size, second.digest) == (len(large), blake3(large).hexdigest())
        assert failed(third, Kind.GONE).reason == f"http://127.0.0.1:{port}: answered 404 Not Found"


def test_thousands_of_orders_come_over_few_connections(tmp_path: Path) -> None:
    seen: set[object] = set()

    def answer(connection: socket.socket, head: bytes) -> None:
        seen.add(connection.getpeername())
        connection.sendall(response(path_of(head).encode()))

    with scripted(answer) as port, fetching(tmp_path, concurrency=8) as fetcher:
        addresses = [f"http://127.0.0.1:{port}/{number}" for number in range(1000)]
        outcomes = get(fetcher, *addresses)
    assert [outcome.content for outcome in outcomes if isinstance(outcome, Got)] == [
        f"/{number}".encode() for number in range(1000)
    ]
    assert len(seen) <= 8


def test_every_lie_about_length_and_every_broken_answer_is_a_cut_and_no_image(tmp_path: Path) -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    answers = {
        "/short": lambda c: (c.sendall(response(b"x" * 100, length=5000)), c.close()),
        "/short-large": lambda c: (c.sendall(response(b"x" * 400_000, length=900_000)), c.close()),
        "/nothing": lambda c: c.close(),
        "/reset": reset,
        "/reset-inside": lambda c: (c.sendall(response(b"x" * 100, length=5000)), reset(c)),
        "/garbage": lambda c: (c.sendall(os.urandom(300).replace(b"HTTP", b"....")), c.close()),
        "/chunks": lambda c: (c.sendall(chunked + b"5\r\nhello\r\nZZZ\r\nnonsense\r\n"), c.close()),
        "/chunks-end": lambda c: (c.sendall(chunked + b"5\r\nhello\r\n"), c.close()),
        "/two-lengths": lambda c: (c.sendall(response(b"12345", "200 OK", "Content-Length: 7")), c.close()),
    }
    with scripted(lambda c, head: answers[path_of(head)](c)) as port, fetching(tmp_path, failures=99) as fetcher:
        for path, outcome in zip(
            answers, get(fetcher, *(f"http://127.0.0.1:{port}{p}" for p in answers)), strict=True
        ):
            assert isinstance(outcome, Failure), path
            assert outcome.kind in (Kind.CUT, Kind.BAD_ADDRESS), (path, outcome)
    assert list(tmp_path.glob("*.part")) == []


def test_more_bytes_than_announced_are_not_taken(tmp_path: Path) -> None:
    def answer(connection: socket.socket, head: bytes) -> None:
        connection.sendall(response(b"hello and more", length=5))
        connection.close()

    with scripted(answer) as port, fetching(tmp_path) as fetcher:
        outcome = one(fetcher, f"http://127.0.0.1:{port}/")
    assert isinstance(outcome, Got)
    assert outcome.content == b"hello"


def test_a_body_beyond_the_cap_ends_at_the_cap_whatever_its_length_says(tmp_path: Path) -> None:
    sent = 0

    def answer(connection: socket.socket, head: bytes) -> None:
        nonlocal sent
        if path_of(head) == "/honest":
            connection.sendall(response(b"", length=10**12))
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))
            sent += 65536

    with scripted(answer) as port, fetching(tmp_path, most_bytes=1_000_000) as fetcher:
        for path in ("/honest", "/endless"):
            failed(one(fetcher, f"http://127.0.0.1:{port}{path}"), Kind.TOO_LARGE)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_or_drips_ends_at_its_time(tmp_path: Path) -> None:
    over = threading.Event()

    def answer(connection: socket.socket, head: bytes) -> None:
        if path_of(head) == "/drip":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not over.wait(0.05):
                connection.sendall(b"x")
        over.wait(20)

    try:
        with scripted(answer) as port, fetching(tmp_path, total_s=0.8) as fetcher:
            for outcome in get(fetcher, f"http://127.0.0.1:{port}/still", f"http://127.0.0.1:{port}/drip"):
                assert failed(outcome, Kind.TIMEOUT).reason
        with scripted(answer) as port, fetching(tmp_path) as fetcher:
            assert failed(one(fetcher, f"http://127.0.0.1:{port}/still", until_s=0.4), Kind.TIMEOUT).reason
        with scripted(answer) as port, fetching(tmp_path, still_s=1) as fetcher:
            assert failed(one(fetcher, f"http://127.0.0.1:{port}/drip"), Kind.TIMEOUT).reason
    finally:
        over.set()


def test_a_gzip_bomb_ends_at_the_cap_and_honest_gzip_is_unpacked(tmp_path: Path) -> None:
    packed = {
        "/bomb": gzip.compress(bytes(300 << 20), 9),
        "/fine": gzip.compress(b"image"),
        "/lie": b"plain",
        "/br": b"x",
    }

    def answer(connection: socket.socket, head: bytes) -> None:
        assert head_of(head, "accept-encoding") == "identity"
        how = "br" if path_of(head) == "/br" else "gzip"
        connection.sendall(response(packed[path_of(head)], "200 OK", f"Content-Encoding: {how}"))

    with scripted(answer) as port, fetching(tmp_path) as fetcher:
        bomb, fine, lie, brotli = get(fetcher, *(f"http://127.0.0.1:{port}{path}" for path in packed))
    failed(bomb, Kind.TOO_LARGE)
    assert isinstance(fine, Got)
    assert fine.content == b"image"
    failed(lie, Kind.CUT)
    failed(brotli, Kind.NOT_AN_IMAGE)
    assert list(tmp_path.iterdir()) == []


def test_redirects_are_followed_judged_and_counted(tmp_path: Path) -> None:
    def answer(connection: socket.socket, head: bytes) -> None:
        path = path_of(head)
        leads = {
            "/relative": "image", "/circle": "/circle", "/metadata": "http://169.254.169.254/latest/meta-data/",
            "/decimal": "http://2852039166/", "/mapped": "http://[::ffff:a9fe:a9fe]/", "/file": "file:///etc/passwd",
            "/other": "http://elsewhere.example/", "/user": "http://a:sesame@127.0.0.1/", "/odd": "http://[bad/",
        }  # fmt: skip
        if path == "/image":
            connection.sendall(response(b"image"))
        elif path.startswith("/far"):
            connection.sendall(response(b"", "302 Found", f"Location: /far{int(path[4:]) + 1}"))
        else:
            connection.sendall(response(b"moved" * 10, "302 Found", f"Location: {leads[path]}"))

    allow = Allow(schemes=("http",), hosts=("127.0.0.1", "169.254.169.254", "::ffff:a9fe:a9fe"), ports=PORTS,
                  cidr=("127.0.0.0/8", "0.0.0.0/0", "::/0"))  # fmt: skip
    with scripted(answer) as port, fetching(tmp_path, allow) as fetcher:
        base = f"http://127.0.0.1:{port}"
        arrived = one(fetcher, f"{base}/relative")
        assert isinstance(arrived, Got)
        assert arrived.content == b"image"
        failed(one(fetcher, f"{base}/circle"), Kind.REDIRECTS)
        failed(one(fetcher, f"{base}/far1"), Kind.REDIRECTS)
        for path in ("/metadata", "/decimal", "/mapped"):
            assert "169.254.169.254" in failed(one(fetcher, base + path), Kind.FORBIDDEN).reason
        for path in ("/file", "/other"):
            failed(one(fetcher, base + path), Kind.FORBIDDEN)
        for path in ("/user", "/odd"):
            assert "sesame" not in failed(one(fetcher, base + path), Kind.BAD_ADDRESS).reason


def test_credentials_go_to_their_own_server_and_to_no_other(tmp_path: Path) -> None:
    shown: dict[str, str] = {}

    def second(connection: socket.socket, head: bytes) -> None:
        shown["second"] = head_of(head, "authorization")
        connection.sendall(response(b"image"))

    def first(connection: socket.socket, head: bytes) -> None:
        shown["first"] = head_of(head, "authorization")
        connection.sendall(response(b"", "302 Found", f"Location: http://127.0.0.2:{there}/"))

    secret = tmp_path / "password"
    secret.write_text("sesame\n")
    with scripted(second, host="127.0.0.2") as there, scripted(first) as here:
        storage = Storage(hosts=("127.0.0.1",), user="reader", password_file=str(secret))
        fetcher = Fetching(EnvironmentRules(allow=(LOOPBACK,), storage=(storage,)), tmp_path / "out")
        try:
            assert isinstance(one(fetcher, f"http://127.0.0.1:{here}/"), Got)
        finally:
            fetcher.close()
    assert shown == {"first": "Basic cmVhZGVyOnNlc2FtZQ==", "second": ""}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]",
     "[::127.0.0.1]", "0.0.0.0", "0", "[::]", "localhost"],
)  # fmt: skip
def test_no_spelling_of_the_loopback_is_connected_to_unless_a_rule_names_it(tmp_path: Path, host: str) -> None:
    asked: list[bytes] = []

    def answer(connection: socket.socket, head: bytes) -> None:
        asked.append(head)
        connection.sendall(response(b"inner"))

    anywhere = Allow(schemes=("http",), hosts=("*",), ports=PORTS, cidr=("0.0.0.0/0", "::/0"))
    public = Allow(schemes=("http",), hosts=("*",), ports=PORTS)
    with scripted(answer) as port:
        for rule in (anywhere, public):
            with fetching(tmp_path, rule) as fetcher:
                failed(one(fetcher, f"http://{host}:{port}/"), Kind.FORBIDDEN)
    assert asked == []


def test_a_name_that_is_bound_anew_is_judged_at_each_connection(tmp_path: Path) -> None:
    """DNS rebinding: the first answer is allowed, the second leads to a server that is not."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2", "127.0.0.1"]])
    asked: list[str] = []

    def answer(connection: socket.socket, head: bytes) -> None:
        asked.append(connection.getsockname()[0])
        connection.sendall(response(b"image", "200 OK", "Connection: close"))
        connection.close()

    rule = Allow(schemes=("http",), hosts=("cam.example",), ports=PORTS, cidr=("127.0.0.1/32",))
    with (
        scripted(answer, host="0.0.0.0") as port,
        fetching(tmp_path, rule, names=lambda *_: next(answers)) as fetcher,
    ):
        address = f"http://cam.example:{port}/"
        assert isinstance(one(fetcher, address), Got)
        assert "127.0.0.2" in failed(one(fetcher, address), Kind.FORBIDDEN).reason
        assert isinstance(one(fetcher, address), Got)  # one forbidden address among allowed ones is passed over
    assert asked == ["127.0.0.1", "127.0.0.1"]


def test_a_name_that_does_not_resolve_and_a_port_without_a_server_are_unreachable(tmp_path: Path) -> None:
    with fetching(tmp_path) as fetcher:
        for address in ("http://nowhere.invalid/", f"http://127.0.0.1:{free_port()}/"):
            assert failed(one(fetcher, address), Kind.UNREACHABLE).reason


def test_proxies_of_the_environment_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxied: list[bytes] = []
    with scripted(lambda c, head: (proxied.append(head), c.close())[1]) as proxy:  # type: ignore[func-returns-value]
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        with scripted(lambda c, head: c.sendall(response(b"direct"))) as port, fetching(tmp_path) as fetcher:
            assert isinstance(one(fetcher, f"http://127.0.0.1:{port}/"), Got)
    assert proxied == []


def test_a_failing_server_is_left_alone_and_others_are_not(tmp_path: Path) -> None:
    with (
        scripted(lambda c, head: c.sendall(response(b"", "500 No"))) as bad,
        scripted(lambda c, head: c.sendall(response(b"fine"))) as good,
        fetching(tmp_path, failures=3, concurrency=1, open_s=60) as fetcher,
    ):
        outcomes = get(
            fetcher, *[f"http://127.0.0.1:{bad}/{n}" for n in range(20)], *[f"http://127.0.0.1:{good}/"] * 20
        )
    kinds = [outcome.kind for outcome in outcomes[:20] if isinstance(outcome, Failure)]
    assert (kinds.count(Kind.SERVER), kinds.count(Kind.BROKEN_OFF)) == (3, 17)
    broken = next(each for each in outcomes[:20] if isinstance(each, Failure) and each.kind is Kind.BROKEN_OFF)
    assert broken.after_s is not None
    assert 50 < broken.after_s <= 60
    assert all(isinstance(outcome, Got) for outcome in outcomes[20:])


def test_a_server_that_hangs_does_not_hold_up_another(tmp_path: Path) -> None:
    over = threading.Event()
    with (
        scripted(lambda c, head: over.wait(30) and None) as slow,  # type: ignore[func-returns-value]
        scripted(lambda c, head: c.sendall(response(b"fine"))) as quick,
        fetching(tmp_path, concurrency=2, at_once=4) as fetcher,
    ):
        fetcher.place([Order(1000 + n, f"http://127.0.0.1:{slow}/{n}", 60) for n in range(200)])
        assert all(isinstance(each, Got) for each in get(fetcher, *[f"http://127.0.0.1:{quick}/"] * 50))
        assert fetcher.room() == 1024 - 200
        fetcher.drop([1000 + n for n in range(200)])
        assert fetcher.room() == 1024
        over.set()
        assert isinstance(one(fetcher, f"http://127.0.0.1:{quick}/"), Got)


def test_servers_that_hang_never_take_all_places(tmp_path: Path) -> None:
    over = threading.Event()
    with contextlib.ExitStack() as stack:
        hanging = [stack.enter_context(scripted(lambda c, head: over.wait(30) and None)) for _ in range(4)]  # type: ignore[func-returns-value]
        quick = stack.enter_context(scripted(lambda c, head: c.sendall(response(b"fine"))))
        fetcher = stack.enter_context(fetching(tmp_path, concurrency=16, at_once=16))
        orders = [f"http://127.0.0.1:{port}/{n}" for n in range(20) for port in hanging]
        fetcher.place([Order(1000 + n, address, 60) for n, address in enumerate(orders)])
        assert all(isinstance(each, Got) for each in get(fetcher, *[f"http://127.0.0.1:{quick}/"] * 30))
        over.set()


def test_nothing_follows_what_was_dropped_and_its_files_are_gone(tmp_path: Path) -> None:
    half, go_on = threading.Event(), threading.Event()

    def answer(connection: socket.socket, head: bytes) -> None:
        if path_of(head) == "/large":
            connection.sendall(response(bytes(600_000), length=900_000))
            half.set()
            go_on.wait(20)
            connection.sendall(bytes(300_000))
        else:
            connection.sendall(response(b"x"))

    with scripted(answer) as port, fetching(tmp_path) as fetcher:
        fetcher.place([Order(7, f"http://127.0.0.1:{port}/large", 60)])
        assert half.wait(20)
        fetcher.drop([7])
        go_on.set()
        assert isinstance(one(fetcher, f"http://127.0.0.1:{port}/small"), Got)
        assert fetcher.results(0.0) == []
        assert list(tmp_path.glob("*.part")) == []


def test_patience_that_a_server_asks_for_is_told(tmp_path: Path) -> None:
    throttled = response(b"", "429 Too Many Requests", "Retry-After: 120")
    with scripted(lambda c, head: c.sendall(throttled)) as port, fetching(tmp_path) as fetcher:
        assert failed(one(fetcher, f"http://127.0.0.1:{port}/"), Kind.THROTTLED).after_s == 120


def test_digest_authentication_and_bearer_tokens_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(connection: socket.socket, head: bytes) -> None:
        shown = head_of(head, "authorization")
        if path_of(head) == "/digest" and not shown.startswith('Digest username="reader"'):
            ask = 'WWW-Authenticate: Digest realm="r", nonce="abc", qop="auth", algorithm=SHA-256'
            connection.sendall(response(b"who are you", "401 Unauthorized", ask))
        elif path_of(head) == "/bearer" and shown != "Bearer t0ken":
            connection.sendall(response(b"", "403 Forbidden"))
        else:
            connection.sendall(response(b"image"))

    monkeypatch.setenv("PASSWORD", "sesame")
    monkeypatch.setenv("TOKEN", "t0ken")
    with scripted(answer) as port:
        base = f"http://127.0.0.1:{port}"
        with fetching(tmp_path, user="reader", password_env="PASSWORD", auth="digest") as fetcher:
            assert isinstance(one(fetcher, f"{base}/digest"), Got)
            failed(one(fetcher, f"{base}/bearer"), Kind.DENIED)
        with fetching(tmp_path, token_env="TOKEN") as fetcher:
            assert isinstance(one(fetcher, f"{base}/bearer"), Got)
            failed(one(fetcher, f"{base}/digest"), Kind.DENIED)


def test_what_a_killed_fetcher_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    left, other = tmp_path / f"{'0123456789abcdef' * 2}.part", tmp_path / "note.part"
    left.write_bytes(b"half")
    other.write_bytes(b"whose?")
    with fetching(tmp_path):
        assert list(tmp_path.iterdir()) == [other]


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    with (
        scripted(lambda c, head: c.sendall(response(bytes(400_000)))) as port,
        fetching(tmp_path / "out") as fetcher,
    ):
        (tmp_path / "out").rmdir()
        assert failed(one(fetcher, f"http://127.0.0.1:{port}/"), Kind.DISK).reason


def test_results_that_nobody_fetches_hold_up_what_is_new(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(connection: socket.socket, head: bytes) -> None:
        asked.append(path_of(head))
        connection.sendall(response(bytes(200_000)))

    rules = EnvironmentRules(allow=(LOOPBACK,), storage=(Storage(hosts=("*",)),), waiting_bytes=1 << 20, at_once=2)
    with scripted(answer) as port:
        fetcher = Fetching(rules, tmp_path)
        try:
            fetcher.place([Order(number, f"http://127.0.0.1:{port}/{number}", 60) for number in range(50)])
            come = len(fetcher.results(20.0, 1))
            idle = threading.Event()
            while len(asked) < 6:
                idle.wait(0.01)
            idle.wait(0.3)
            assert len(asked) < 20
            while come < 50:
                come += len(fetcher.results(20.0))
        finally:
            fetcher.close()


def test_a_closed_fetcher_takes_no_orders(tmp_path: Path) -> None:
    with fetching(tmp_path) as fetcher:
        fetcher.close()
        with pytest.raises(InputError):
            fetcher.place([Order(1, "http://127.0.0.1/", 1)])
