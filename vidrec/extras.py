"""Extras: packages that only some commands need, and the command that installs them here."""

from __future__ import annotations

import json
import shlex
import sys
from urllib.parse import urlsplit
from urllib.request import url2pathname

from vidrec.errors import MissingPackageError

# Each package that a base install lacks, by the name it is imported by, and the extra it is in.
EXTRA_OF = {
    "tensorflow": "train",
    "keras": "train",
    "tf2onnx": "train",
    "einops": "train",
    "matplotlib": "train",
    "remotezip": "ucf",
    "requests": "ucf",
    "urllib3": "ucf",
    "boto3": "cloud",
    "botocore": "cloud",
    "twelvelabs": "cloud",
    "httpx": "cloud",
    "qdrant_client": "cloud",
    "grpc": "cloud",
    "qdrant_edge": "edge",
    "pyarrow": "parquet",
    "cv2": "demo",
    "skimage": "demo",
    "scipy": "demo",
    "fastembed": "clip",
    "fastapi": "serve",
    "uvicorn": "serve",
    "starlette": "serve",
    "python_multipart": "serve",
    "prometheus_client": "serve",
    "mcp": "mcp",
    "ray": "ray",
}


def missing_package(exc: ModuleNotFoundError) -> MissingPackageError | None:
    """Return the error that says how to install what an import lacked, if it is in an extra."""
    package = (exc.name or "").partition(".")[0]
    extra = EXTRA_OF.get(package)
    if extra is None:
        return None
    return MissingPackageError(
        f"the package {package} is not installed: run `{install_command(extra)}`"
    )


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this very installation, as one would type it."""
    words = [sys.executable, "-m", "pip", "install", *_requirement(extra)]
    return shlex.join(words)


def _requirement(extra: str) -> list[str]:
    """What pip is to install: the folder that vidrec was installed from, else its name."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        origin = json.loads(distribution("vidrec").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    url = urlsplit(origin.get("url", ""))
    if url.scheme != "file" or "dir_info" not in origin:
        return [f"vidrec[{extra}]"]
    wanted = f"{url2pathname(url.path)}[{extra}]"
    return ["-e", wanted] if origin["dir_info"].get("editable") else [wanted]
