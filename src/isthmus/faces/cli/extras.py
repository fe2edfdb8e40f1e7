"""Which extra brings a package that is not installed."""

from __future__ import annotations

from isthmus.core.errors import MissingExtra

_BROUGHT_BY = {
    "warehouse": ("blake3", "duckdb", "fsspec", "lance", "numpy", "pyarrow", "sqlglot"),
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
    "train": ("onnx", "onnxruntime", "optuna", "safetensors", "torch"),
}


def missing_extra(error: ModuleNotFoundError) -> MissingExtra:
    """Turn the interpreter's error into the one that names the extra; `all` where none is known to bring it."""
    package = (error.name or str(error)).split(".")[0]
    extra = next((name for name, packages in _BROUGHT_BY.items() if package in packages), "all")
    return MissingExtra.named(package, extra)
