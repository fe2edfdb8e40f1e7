from __future__ import annotations

import contextlib
import datetime
import hashlib
import hmac
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hostile_servers import head_of, nginx, path_of, response, scripted
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.fetcher import Fetching
from isthmus.acquire.fetch.settings import Allow, EnvironmentRules, Rewrite, Storage
from isthmus.acquire.ports import Got, Order

PORTS = tuple(range(1, 65536))
LOCAL = ("127.0.0.0/8",)
SCHEMES = ("http", "https", "ftp", "ftps", "sftp", "dav", "webhdfs")
ANY = Allow(schemes=SCHEMES, hosts=("*",), ports=PORTS, cidr=LOCAL)
PASSWORD = "correct horse"


def got(folder: Path, address: str, storage: Storage | None = None, allow: Allow = ANY,
        rewrite: tuple[Rewrite, ...] = ()) -> Got | Failure:  # fmt: skip
    rules = EnvironmentRules(allow=(allow,), rewrite=rewrite, storage=(storage,) if storage else ())
    fetcher = Fetching(rules, folder / "out")
    try:
        fetcher.place([Order(1, address, 30.0)])
        (answer,) = fetcher.results(60.0)
        return answer[1]
    finally:
        fetcher.close()


def content(outcome: Got | Failure) -> bytes:
    assert isinstance(outcome, Got), outcome
    return outcome.content if isinstance(outcome.content, bytes) else outcome.content.read_bytes()


def kind(outcome: Got | Failure) -> Kind:
    assert isinstance(outcome, Failure), outcome
    assert PASSWORD not in outcome.reason
    return outcome.kind


@pytest.fixture
def password(tmp_path: Path) -> str:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    return str(file)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, server.pem (for 127.0.0.1) and client.pem, each with its key."""
    folder = tmp_path_factory.mktemp("certificates")
    ca_key, ca = _certificate("test authority", None, None)
    _write(folder, "ca", ca_key, ca)
    for name in ("server", "client"):
        _write(folder, name, *_certificate(name, ca_key, ca))
    return folder


def _certificate(name: str, issuer_key: Any, issuer: Any) -> tuple[Any, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(address, critical=False)
    )
    return key, built.sign(issuer_key or key, hashes.SHA256())


def _write(folder: Path, name: str, key: Any, certificate: Any) -> None:
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / f"{name}.key").write_bytes(key.private_bytes(pem, *plain))
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))


def _context(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context


def test_https_needs_a_certificate_of_the_named_authority(tmp_path: Path, certificates: Path) -> None:
    ours = Storage(hosts=("*",), ca_file=str(certificates / "ca.pem"))
    with scripted(lambda c, head: c.sendall(response(b"image")), _context(certificates)) as port:
        assert content(got(tmp_path, f"https://127.0.0.1:{port}/", ours)) == b"image"
        assert kind(got(tmp_path, f"https://127.0.0.1:{port}/")) is Kind.TLS
        assert kind(got(tmp_path, f"https://127.0.0.2:{port}/", ours)) in (Kind.TLS, Kind.UNREACHABLE)
    with nginx(tmp_path) as plain:
        assert kind(got(tmp_path, f"https://127.0.0.1:{plain}/", ours)) is Kind.TLS


def test_a_client_certificate_is_shown_where_a_server_asks_for_it(tmp_path: Path, certificates: Path) -> None:
    context = _context(certificates)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates / "ca.pem")
    bare = Storage(hosts=("*",), ca_file=str(certificates / "ca.pem"))
    shown = Storage(
        hosts=("*",),
        ca_file=str(certificates / "ca.pem"),
        client_certificate=str(certificates / "client.pem"),
        client_key=str(certificates / "client.key"),
    )
    with scripted(lambda c, head: c.sendall(response(b"image")), context) as port:
        assert content(got(tmp_path, f"https://127.0.0.1:{port}/", shown)) == b"image"
        assert kind(got(tmp_path, f"https://127.0.0.1:{port}/", bare)) in (Kind.TLS, Kind.CUT)


@contextlib.contextmanager
def _ftp(root: Path, certificates: Path | None = None) -> Iterator[int]:
    pytest.importorskip("pyftpdlib")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    people = DummyAuthorizer()
    people.add_user("reader", PASSWORD, str(root), perm="elr")
    if certificates is None:
        handler = type("Handler", (FTPHandler,), {"authorizer": people, "use_sendfile": False})
    else:
        both = certificates / "both.pem"
        both.write_bytes((certificates / "server.pem").read_bytes() + (certificates / "server.key").read_bytes())
        secure = {"certfile": str(both), "tls_control_required": True, "tls_data_required": True}
        handler = type("Handler", (TLS_FTPHandler,), {"authorizer": people, **secure})
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"timeout": 0.05, "handle_exit": False}, daemon=True
    )
    thread.start()
    try:
        yield server.address[1]
    finally:
        server.close_all()
        thread.join(5)


def test_ftp_gets_files_with_user_and_password(tmp_path: Path, password: str) -> None:
    root = tmp_path / "ftp"
    (root / "a folder").mkdir(parents=True)
    large = os.urandom(700_000)
    (root / "a folder" / "ü.jpg").write_bytes(large)
    storage = Storage(hosts=("127.0.0.1",), user="reader", password_file=password, most_bytes=1_000_000)
    with _ftp(root) as port:
        base = f"ftp://127.0.0.1:{port}"
        outcome = got(tmp_path, f"{base}/a folder/ü.jpg", storage)
        assert content(outcome) == large
        assert isinstance(outcome, Got)
        assert outcome.told.modified is not None
        assert kind(got(tmp_path, f"{base}/none.jpg", storage)) is Kind.GONE
        assert kind(got(tmp_path, f"{base}/none/none.jpg", storage)) is Kind.GONE
        assert kind(got(tmp_path, f"{base}/a%20folder/ü.jpg")) is Kind.DENIED
        tight = Storage(hosts=("*",), user="reader", password_file=password, most_bytes=1000)
        assert kind(got(tmp_path, f"{base}/a%20folder/ü.jpg", tight)) is Kind.TOO_LARGE
        elsewhere = Allow(schemes=("ftp",), hosts=("*",), ports=PORTS, cidr=("10.0.0.0/8",))
        assert kind(got(tmp_path, f"{base}/x", storage, elsewhere)) is Kind.FORBIDDEN


def test_ftp_is_encrypted_where_that_is_asked_for_or_fails(
    tmp_path: Path, password: str, certificates: Path
) -> None:
    root = tmp_path / "ftp"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"image")
    storage = Storage(
        hosts=("*",),
        user="reader",
        password_file=password,
        explicit_tls=True,
        ca_file=str(certificates / "ca.pem"),
    )
    try:
        with _ftp(root, certificates) as port:
            assert content(got(tmp_path, f"ftp://127.0.0.1:{port}/a.jpg", storage)) == b"image"
    except (ImportError, AttributeError) as error:
        pytest.skip(f"FTP over TLS needs pyOpenSSL: {error}")
    with _ftp(root) as port:
        assert kind(got(tmp_path, f"ftp://127.0.0.1:{port}/a.jpg", storage)) is Kind.TLS


@contextlib.contextmanager
def _sftp(root: Path, key: Any, public: Any = None) -> Iterator[int]:
    paramiko = pytest.importorskip("paramiko")

    class People(paramiko.ServerInterface):  # type: ignore[misc,name-defined]
        def check_auth_password(self, name: str, shown: str) -> int:
            fine = (name, shown) == ("reader", PASSWORD)
            return int(paramiko.AUTH_SUCCESSFUL if fine else paramiko.AUTH_FAILED)

        def check_auth_publickey(self, name: str, shown: Any) -> int:
            fine = public is not None and shown.asbytes() == public.asbytes()
            return int(paramiko.AUTH_SUCCESSFUL if fine else paramiko.AUTH_FAILED)

        def get_allowed_auths(self, name: str) -> str:
            return "password,publickey"

        def check_channel_request(self, what: str, number: int) -> int:
            return int(paramiko.OPEN_SUCCEEDED)

    class Files(paramiko.SFTPServerInterface):  # type: ignore[misc,name-defined]
        def stat(self, path: str) -> Any:
            try:
                return paramiko.SFTPAttributes.from_stat((root / path.lstrip("/")).stat())
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)

        lstat = stat

        def open(self, path: str, flags: int, attributes: Any) -> Any:
            handle = paramiko.SFTPHandle(flags)
            try:
                handle.readfile = (root / path.lstrip("/")).open("rb")
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno)
            return handle

    listener = socket.create_server(("127.0.0.1", 0))
    transports: list[Any] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
            transports.append(transport)
            with contextlib.suppress(EOFError, paramiko.SSHException, OSError):
                transport.start_server(server=People())

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in transports:
            transport.close()
        thread.join(5)


def test_sftp_gets_files_from_a_server_whose_host_key_is_known(tmp_path: Path, password: str) -> None:
    paramiko = pytest.importorskip("paramiko")
    host_key, other_key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    client_key = paramiko.ECDSAKey.generate()
    client_file = tmp_path / "id"
    client_key.write_private_key_file(str(client_file))
    root = tmp_path / "sftp"
    root.mkdir()
    large = os.urandom(500_000)
    (root / "a.jpg").write_bytes(large)
    with _sftp(root, host_key, client_key) as port:

        def known(key: Any) -> str:
            file = tmp_path / f"known-{key.get_base64()[-8:-2].replace('/', '_')}"
            file.write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
            return str(file)

        base = f"sftp://127.0.0.1:{port}"
        by_password = Storage(hosts=("*",), user="reader", password_file=password, known_hosts=known(host_key))
        assert content(got(tmp_path, f"{base}/a.jpg", by_password)) == large
        assert kind(got(tmp_path, f"{base}/none.jpg", by_password)) is Kind.GONE
        by_key = Storage(hosts=("*",), user="reader", ssh_key_file=str(client_file), known_hosts=known(host_key))
        assert content(got(tmp_path, f"{base}/a.jpg", by_key)) == large
        wrong = Storage(hosts=("*",), user="reader", password_file=password, known_hosts=known(other_key))
        assert kind(got(tmp_path, f"{base}/a.jpg", wrong)) is Kind.TLS
        without = Storage(hosts=("*",), user="reader", password_file=password)
        assert kind(got(tmp_path, f"{base}/a.jpg", without)) is Kind.TLS
        (tmp_path / "other").write_text("wrong\n")
        refused = Storage(
            hosts=("*",), user="reader", password_file=str(tmp_path / "other"), known_hosts=known(host_key)
        )
        assert kind(got(tmp_path, f"{base}/a.jpg", refused)) is Kind.DENIED


def _signature(head: bytes, secret: str, region: str) -> tuple[str, str]:
    """Compute AWS Signature 4 of a request as its server does; returns the one shown and the right one."""
    shown = head_of(head, "authorization")
    parts = dict(part.strip().split("=", 1) for part in shown.removeprefix("AWS4-HMAC-SHA256").split(","))
    _, date, *scope = parts["Credential"].split("/")
    path, _, query = path_of(head).partition("?")
    signed = parts["SignedHeaders"].split(";")
    lines = [f"{name}:{' '.join(head_of(head, name).split())}" for name in signed]
    canonical_query = "&".join(
        sorted(piece if "=" in piece else piece + "=" for piece in query.split("&") if piece)
    )
    payload = head_of(head, "x-amz-content-sha256") or hashlib.sha256(b"").hexdigest()
    canonical = "\n".join(
        ["GET", quote(unquote(path), safe="/-_.~"), canonical_query, *lines, "", ";".join(signed), payload]
    )
    stamp = head_of(head, "x-amz-date")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, "/".join([date, region, "s3", "aws4_request"]), digest])
    key = ("AWS4" + secret).encode()
    for piece in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, piece.encode(), hashlib.sha256).digest()
    assert scope == [region, "s3", "aws4_request"]
    return parts["Signature"], hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def test_requests_to_s3_are_signed_so_that_the_server_agrees(tmp_path: Path, password: str) -> None:
    seen: list[str] = []

    def answer(connection: socket.socket, head: bytes) -> None:
        if not head_of(head, "authorization"):
            connection.sendall(response(b"<Error/>", "403 Forbidden"))
            return
        shown, right = _signature(head, PASSWORD, "eu-central-1")
        seen.append(path_of(head))
        if shown != right:
            connection.sendall(response(b"<Error/>", "403 Forbidden"))
        else:
            connection.sendall(response(b"image", "200 OK", "x-amz-meta-place: Pier 7"))

    storage = Storage(hosts=("127.0.0.1",), user="KEYID", password_file=password, s3_region="eu-central-1")
    with scripted(answer) as port:
        rewrite = (Rewrite(prefix="s3://photos/", to=f"http://127.0.0.1:{port}/photos/"),)
        for name in ("a.jpg", "a b/ü+1.jpg", "x.jpg?versionId=3"):
            outcome = got(tmp_path, f"s3://photos/{name}", storage, rewrite=rewrite)
            assert content(outcome) == b"image", name
            assert isinstance(outcome, Got)
            assert outcome.told.meta == {"place": "Pier 7"}
        assert kind(got(tmp_path, "s3://photos/a.jpg", rewrite=rewrite)) is Kind.DENIED
        assert kind(got(tmp_path, "s3://others/a.jpg", storage, rewrite=rewrite)) is Kind.FORBIDDEN
    assert seen[0] == "/photos/a.jpg"


def test_webdav_and_webhdfs_are_plain_gets(tmp_path: Path, password: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"image")
    with nginx(tmp_path, "dav_methods PUT DELETE;") as port:
        assert content(got(tmp_path, f"dav://127.0.0.1:{port}/a.jpg")) == b"image"

    def name_node(connection: socket.socket, head: bytes) -> None:
        assert path_of(head) == "/webhdfs/v1/photos/a.jpg?op=OPEN"
        connection.sendall(response(b"", "307 Temporary Redirect", f"Location: http://127.0.0.1:{port}/a.jpg"))

    with nginx(tmp_path) as port, scripted(name_node) as names:
        assert content(got(tmp_path, f"webhdfs://127.0.0.1:{names}/photos/a.jpg")) == b"image"


def _files(root: Path) -> Allow:
    return Allow(schemes=("file",), roots=(str(root),))


def test_local_files_come_from_within_the_allowed_folders_only(tmp_path: Path) -> None:
    root = tmp_path / "share"
    (root / "a b").mkdir(parents=True)
    (root / "a b" / "ü.jpg").write_bytes(b"image")
    (root / "large").write_bytes(bytes(600_000))
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "share-not").mkdir()
    (tmp_path / "share-not" / "x").write_bytes(b"secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "away").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "a b")
    (root / "circle").symlink_to(root / "circle")
    os.mkfifo(root / "pipe")
    allow = _files(root)
    assert content(got(tmp_path, f"file://{root}/a%20b/ü.jpg", allow=allow)) == b"image"
    assert content(got(tmp_path, f"file://localhost{root}/in/ü.jpg", allow=allow)) == b"image"
    large = got(tmp_path, f"file://{root}/large", allow=allow)
    assert isinstance(large, Got)
    assert isinstance(large.content, Path)
    assert large.told.modified is not None
    for path in ("out", "away/secret", "../secret", "..%2fsecret", "../share-not/x", "a%20b/../../secret", "%00"):
        assert kind(got(tmp_path, f"file://{root}/{path}", allow=allow)) is Kind.FORBIDDEN, path
    for path in ("none", "pipe", "a%20b", "circle"):
        assert kind(got(tmp_path, f"file://{root}/{path}", allow=allow)) is Kind.GONE, path
    tight = Storage(hosts=("",), most_bytes=1000)
    assert kind(got(tmp_path, f"file://{root}/large", tight, allow)) is Kind.TOO_LARGE
    assert kind(got(tmp_path, f"file://{root}/large")) is Kind.FORBIDDEN
    assert kind(got(tmp_path, "file://elsewhere/large", allow=allow)) is Kind.BAD_ADDRESS
