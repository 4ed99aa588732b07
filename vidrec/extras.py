"""Extras: packages that only some commands need, and the command that installs them here."""

from __future__ import annotations

import json
import shlex
import sys
from urllib.parse import urlsplit
from urllib.request import url2pathname

from vidrec.errors import MissingPackageError

# What a base install lacks: packages, by the names they are imported by, of each extra.
EXTRAS = {
    "train": ("tensorflow", "keras", "tf2onnx", "einops", "matplotlib"),
    "ucf": ("remotezip", "requests", "urllib3"),
    "cloud": ("boto3", "botocore", "twelvelabs", "httpx", "qdrant_client", "grpc"),
    "edge": ("qdrant_edge",),
    "parquet": ("pyarrow",),
    "demo": ("cv2", "skimage", "scipy"),
    "clip": ("fastembed",),
    "serve": ("fastapi", "uvicorn", "starlette", "python_multipart", "prometheus_client"),
    "mcp": ("mcp",),
    "ray": ("ray",),
}
EXTRA_OF = {package: extra for extra, packages in EXTRAS.items() for package in packages}


def missing_package(exc: ModuleNotFoundError) -> MissingPackageError | None:
    """Return the error that says how to install what an import lacked; None: a module of ours."""
    package = (exc.name or "").partition(".")[0]
    extra = EXTRA_OF.get(package)
    if package in ("", "vidrec"):
        return None
    if extra is None:  # a plug-in's
        pip = shlex.join([sys.executable, "-m", "pip"])
        return MissingPackageError(
            f"the module {exc.name} is not installed: install the package that has it, by {pip}"
        )
    mend = f"run `{install_command(extra)}`"
    return MissingPackageError(f"the package {package} is not installed: {mend}")


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this very installation, as one would type it."""
    return shlex.join([sys.executable, "-m", "pip", "install", *_requirement(extra)])


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
