"""Which extra brings a package that is not installed."""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.core.errors import MissingExtra

_BROUGHT_BY = {
    "warehouse": ("blake3", "duckdb", "fsspec", "lance", "mmh3", "numpy", "pyarrow", "sqlglot"),
    "loop": ("apscheduler", "gymnasium", "highway_env", "jinja2", "matplotlib", "rosbags"),
    "gallery": (
        "bson",
        "cryptography",
        "msgspec",
        "PIL",
        "pybase64",
        "pymongo",
        "simplejpeg",
        "simsimd",
        "zstandard",
    ),
    "faces": ("dlib", "face_recognition_models"),
    "ice": ("aiortc", "websockets"),
    "ice-fast": ("webrtc", "wrtc"),
    "sync": ("starlette", "uvicorn"),
    "acquire": ("httptools", "reverse_geocode", "uvloop"),
    "agent": ("pycurl",),
    "recovery": ("s3fs",),
    "console": ("argon2",),
    "postgres": ("psycopg", "psycopg_pool"),
    "nats": ("nats",),
    "train": ("onnx", "onnxruntime", "optuna", "safetensors", "torch"),
}

_WHOLE = {
    "acquire": (
        "blake3", "cryptography", "httptools", "msgspec", "numpy", "PIL", "python_multipart", "reverse_geocode",
        "simplejpeg", "starlette", "uvicorn", "uvloop", "websockets", "zstandard",
    ),
    "agent": ("blake3", "cryptography", "fsspec", "msgspec", "pycurl", "smbprotocol", "zstandard"),
    "recovery": (
        "blake3", "cryptography", "duckdb", "fsspec", "lance", "mmh3", "msgspec", "numpy", "pyarrow", "s3fs",
        "sqlglot", "starlette", "uvicorn", "zstandard",
    ),
    "console": (
        "argon2", "blake3", "cryptography", "duckdb", "fsspec", "jinja2", "lance", "mmh3", "msgspec", "numpy",
        "pyarrow", "python_multipart", "sqlglot", "starlette", "uvicorn",
    ),
}  # fmt: skip
"""What a command of this name needs altogether: one extra brings it all."""


def missing_extra(error: ModuleNotFoundError, words: Sequence[str] = ()) -> MissingExtra:
    """Turn the interpreter's error into the one that names the extra; `all` where none is known to bring it.

    `words` are those of the command line: the extra of the whole command comes before one of the package alone.
    """
    package = (error.name or str(error)).split(".")[0]
    if package == "isthmus":
        return MissingExtra(f"{error.name} is missing: this installation is not whole", "install isthmus anew")
    said = [word for before, word in zip(("", *words), words, strict=False) if before != "--site"]
    whole = next((name for name, packages in _WHOLE.items() if name in said and package in packages), None)
    extra = whole or next((name for name, packages in _BROUGHT_BY.items() if package in packages), "all")
    return MissingExtra.named(package, extra)
