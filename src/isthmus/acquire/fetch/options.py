"""Sets on a libcurl handle what stays between requests of one kind: credentials, time-outs, verification."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path

import pycurl

from isthmus.acquire.fetch.credentials import Secrets
from isthmus.acquire.fetch.locator import WIRES
from isthmus.acquire.fetch.settings import Storage

_PROTOCOLS = {
    "http": pycurl.PROTO_HTTP,
    "https": pycurl.PROTO_HTTPS,
    "ftp": pycurl.PROTO_FTP,
    "ftps": pycurl.PROTO_FTPS,
    "sftp": pycurl.PROTO_SFTP,
}
_STILL_BYTES_S = 1024


def prepare(curl: pycurl.Curl, scheme: str, storage: Storage, secrets: Secrets) -> None:
    """Set a fresh or reset handle up for requests of a scheme to servers of a storage entry."""
    wire = WIRES[scheme]
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.PROTOCOLS, _PROTOCOLS[wire])
    curl.setopt(pycurl.FOLLOWLOCATION, 0)  # each hop is judged like a new address
    curl.setopt(pycurl.PROXY, "")  # nothing from the environment of the process
    curl.setopt(pycurl.NOPROXY, "*")
    curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
    curl.setopt(pycurl.BUFFERSIZE, 64 * 1024)
    curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(storage.connect_s * 1000))
    curl.setopt(pycurl.LOW_SPEED_LIMIT, _STILL_BYTES_S)
    curl.setopt(pycurl.LOW_SPEED_TIME, storage.still_s)
    if wire in ("http", "https"):
        _http(curl, storage, secrets)
    else:
        _files(curl, wire, storage, secrets)
    if wire == "https" or wire == "ftps" or storage.explicit_tls:
        _tls(curl, storage)


def _http(curl: pycurl.Curl, storage: Storage, secrets: Secrets) -> None:
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    curl.setopt(pycurl.USERAGENT, "isthmus")
    heads = ["Accept: image/*, */*;q=0.1", "Accept-Encoding: identity"]
    if storage.s3_region:
        curl.setopt(pycurl.AWS_SIGV4, f"aws:amz:{storage.s3_region}:s3")
        if secrets.token:
            heads.append(f"x-amz-security-token: {secrets.token}")
    elif secrets.token:
        heads.append(f"Authorization: Bearer {secrets.token}")
    if storage.user:
        curl.setopt(pycurl.USERNAME, storage.user.encode())
        curl.setopt(pycurl.PASSWORD, secrets.password.encode())
        if not storage.s3_region:
            digest = storage.auth == "digest"
            curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST if digest else pycurl.HTTPAUTH_BASIC)
    curl.setopt(pycurl.HTTPHEADER, [head.encode() for head in heads])


def _files(curl: pycurl.Curl, wire: str, storage: Storage, secrets: Secrets) -> None:
    curl.setopt(pycurl.OPT_FILETIME, 1)
    if storage.user:
        curl.setopt(pycurl.USERNAME, storage.user.encode())
    if wire == "sftp":
        curl.setopt(pycurl.SSH_KNOWNHOSTS, storage.known_hosts)  # a key that is not there is refused
        if storage.ssh_key_file:
            curl.setopt(pycurl.SSH_AUTH_TYPES, pycurl.SSH_AUTH_PUBLICKEY)
            curl.setopt(pycurl.SSH_PRIVATE_KEYFILE, storage.ssh_key_file)
            if secrets.password:
                curl.setopt(pycurl.KEYPASSWD, secrets.password.encode())
            return
        curl.setopt(pycurl.SSH_AUTH_TYPES, pycurl.SSH_AUTH_PASSWORD | pycurl.SSH_AUTH_KEYBOARD)
    elif storage.explicit_tls:
        curl.setopt(pycurl.USE_SSL, pycurl.USESSL_ALL)
    if secrets.password:
        curl.setopt(pycurl.PASSWORD, secrets.password.encode())


def _tls(curl: pycurl.Curl, storage: Storage) -> None:
    curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
    curl.setopt(pycurl.SSL_VERIFYPEER, 1)
    curl.setopt(pycurl.SSL_VERIFYHOST, 2)
    if bundle := storage.ca_file or _usual_certificates():
        curl.setopt(pycurl.CAINFO, bundle)
    if storage.client_certificate:
        curl.setopt(pycurl.SSLCERT, storage.client_certificate)
        curl.setopt(pycurl.SSLKEY, storage.client_key)


@functools.cache
def _usual_certificates() -> str:
    found = ssl.get_default_verify_paths().cafile
    for path in (found, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        if path and Path(path).is_file():
            return path
    return ""
