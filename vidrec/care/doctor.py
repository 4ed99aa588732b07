"""Doctor: what works on this machine with these settings, and how to mend what does not.

Only what the settings name is looked at: no service is asked that the user does not use, and
nothing is paid for. Messages are those of vidrec's own errors, which never hold a secret.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from vidrec import __version__
from vidrec.config import Settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import Embedder
from vidrec.errors import NoIndexError, VidrecError
from vidrec.extras import EXTRA_OF, install_command
from vidrec.files import exists
from vidrec.library import Library
from vidrec.library.catalog import has_catalog, refuse_lost
from vidrec.stores import open_store
from vidrec.stores.base import VectorStore, index_command
from vidrec.wording import count

State = Literal["ok", "warning", "failure"]
LOW_DISK = 2_000_000_000
NO_DISK = 200_000_000
# What each embedder and store needs, beside what vidrec always needs.
PACKAGES = {
    "conse": ("onnxruntime", "onnx", "tokenizers"),
    "clip": ("fastembed",),
    "resnet": ("onnxruntime",),
    "marengo": ("twelvelabs",),
    "qdrant": ("qdrant-client",),
    "knn": ("numpy",),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it is, and the command or setting that mends it."""

    name: str
    state: State
    detail: str
    mend: str = ""


def doctor(settings: Settings, config: Path | None) -> Iterator[Check]:
    """Yield one check after another; none raises."""
    yield Check("config", "ok", str(config) if config else "no file: defaults and environment")
    yield Check("vidrec", "ok", f"{__version__}, Python {platform.python_version()}")
    yield from _packages(settings)
    yield _disk("disk of library", settings.library)
    yield _disk("disk of cache", settings.cache)
    yield from guarded("library", _library(settings))
    embedder: list[Embedder] = []
    yield from guarded("embedder", _embedder(settings, embedder))
    if settings.embedder.name == "marengo" and embedder:
        yield from guarded("Twelve Labs", _twelve_labs(settings))
    if settings.s3.bucket:
        yield from guarded("S3", _bucket(settings))
    if embedder:
        yield from guarded("store", _store(settings, embedder[0]))


def guarded(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Yield checks; a failure that ends them is one of them."""
    try:
        yield from checks
    except VidrecError as exc:
        yield Check(name, "failure", str(exc))


def _packages(settings: Settings) -> Iterator[Check]:
    needed = {"av", *PACKAGES.get(settings.embedder.name, ()),
              *PACKAGES.get(settings.store.name, ())}  # fmt: skip
    needed |= {"boto3"} if settings.s3.bucket else set()
    for name in sorted(needed | {"tensorflow"}):
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            extra = EXTRA_OF.get(name.replace("-", "_"))
            mend = install_command(extra) if extra else f"pip install {name}"
            if name in needed:
                yield Check(name, "failure", "not installed", mend)
            else:
                yield Check(name, "warning", "not installed: `vidrec train` needs it", mend)


def _disk(name: str, folder: Path) -> Check:
    there = next(path for path in (folder, *folder.parents) if exists(path))
    free = shutil.disk_usage(there).free
    detail = f"{free / 1e9:.1f} GB free at {folder}"
    if free >= LOW_DISK:
        return Check(name, "ok", detail)
    state: State = "failure" if free < NO_DISK else "warning"
    return Check(name, state, detail, "free some space, or choose another folder")


def _library(settings: Settings) -> Iterator[Check]:
    if not has_catalog(settings.library):
        refuse_lost(settings.library)
        yield Check("library", "warning", f"none yet in {settings.library}", "vidrec embed PATHS…")
        return
    with Library(settings.library) as library:
        with library.transaction():
            pass  # it can be written
        videos = sum(1 for _ in library.videos())
        failures = len(library.failures())
    detail = f"{count(videos, 'video')} in {settings.library}"
    if failures:
        mend = "vidrec status, then vidrec embed --retry-failed"
        yield Check("library", "warning", f"{detail}; {failures} failed", mend)
    else:
        yield Check("library", "ok", detail)


def _embedder(settings: Settings, found: list[Embedder]) -> Iterator[Check]:
    embedder = load_embedder(settings)
    found.append(embedder)
    print_ = embedder.fingerprint
    yield Check("embedder", "ok", f"{embedder.name}: {print_.model}, {embedder.dim} numbers")


def _twelve_labs(settings: Settings) -> Iterator[Check]:
    from vidrec.embedders.marengo.client import Service
    from vidrec.embedders.marengo.pace import Clock

    brief = settings.marengo.model_copy(update={"patience_sec": 10.0, "timeout_sec": 10.0})
    with closing(Service(brief, Clock())) as service:
        # Listing costs nothing, and needs a good key.
        service.call("list its jobs", lambda sdk: sdk.embed.v_2.tasks.list(page_limit=1))
    yield Check("Twelve Labs", "ok", f"{service.where} accepts the key")
    if settings.marengo.price_video_minute is None:
        mend = "set [marengo] price_video_minute"
        yield Check("price", "warning", "not set: costs cannot be estimated", mend)


def _bucket(settings: Settings) -> Iterator[Check]:
    from vidrec.storage.s3 import S3Storage

    storage = S3Storage(settings.s3, settings.cache)
    storage.check()
    detail = f"bucket {storage.bucket} at {storage.where} can be used"
    if settings.s3.public:
        mend = "set [s3] public = false"
        yield Check("S3", "warning", f"{detail}; uploads are public, for good", mend)
    else:
        yield Check("S3", "ok", detail)


def _store(settings: Settings, embedder: Embedder) -> Iterator[Check]:
    with closing(open_store(settings)) as store:
        again = index_command(store.name, embedder.name)
        try:
            yield _served(settings, store, embedder, again)
        except NoIndexError as exc:
            yield Check("store", "warning", str(exc), again)


def _served(settings: Settings, store: VectorStore, embedder: Embedder, again: str) -> Check:
    info = store.info()
    if info is None:
        return Check("store", "warning", f"{store.name}: nothing is indexed yet", again)
    wanted = str(embedder.fingerprint)
    detail = f"{info.place}: {count(info.count, 'point')} of {info.dim} numbers"
    if info.fingerprint != wanted:
        detail += f", of {info.fingerprint} where the embedder is {wanted}"
        return Check("store", "failure", detail, f"{again} --recreate")
    if has_catalog(settings.library):
        with Library(settings.library, create=False) as library:
            store.owner = library.id
            info = store.info() or info
            if not library.is_followed(info.place, info.fingerprint, info.version):
                detail += "; it or the library has changed since"
                return Check("store", "warning", detail, again)
    return Check("store", "ok", detail)
