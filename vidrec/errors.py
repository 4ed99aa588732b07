"""Everything that can go wrong, as one tree.

    VidrecError                     1   any failure that a user can cause or mend
    ├── UsageError                  2   a wrong argument ("Received: k=-1")
    │   └── ConfigError             2   a config file, environment variable or option is wrong
    ├── MissingPackageError         1   a package of an extra is not installed
    ├── LibraryError                1   the catalog cannot be opened, read or written
    │   └── LockedError             5   another vidrec holds what this command needs
    ├── MediaError                  1   a file that is no readable video or image
    ├── Cancelled                 130   the run is to end, and what was in work is left undone
    ├── EmbedderError               1   an embedder cannot be loaded or used
    │   ├── CapabilityError         1   this embedder cannot embed that kind of input
    │   ├── JobError                1   one video was refused or failed for good by the embedder
    │   ├── TransientError          1   a failure that a later run may not meet
    │   │   └── UnexpectedError     1   one video's failure that nobody foresaw
    │   ├── QuotaError              1   the provider wants no more today: the run stops
    │   ├── OutageError             1   the provider does not answer: the run stops
    │   ├── AccountError            1   the provider refuses the key or the plan: the run stops
    │   └── OverCapError            1   one video would cost more than may be paid
    ├── StoreError                  1   a store cannot be reached, read or written
    │   ├── NoIndexError            1   nothing is indexed there yet
    │   └── FingerprintError        1   the vectors there come from another embedder
    ├── StorageError                1   object storage refused or failed
    ├── DatasetError                1   a data set cannot be fetched or read
    ├── TrainingError               1   a training run cannot start or go on
    ├── BelowMinimum                1   a measured figure is below what `--min` asks for
    ├── NoConfidentMatch            3   nothing matched well enough
    └── PartialFailure              4   part of a batch failed; the rest is done

The number is the exit code; nothing more is said at the classes. A message is one line: what,
which, and what to do.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from typing import ClassVar

# Trouble of the machine, not of the file in hand.
_STARVED = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EAGAIN}
)
# Trouble that passes: a permission, a share or a disk that is away for a while, a call cut short.
_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES", "EPERM", "EIO", "EINTR", "ESTALE", "ENOTCONN", "ENODEV", "ENXIO", "EBUSY",
        "ENOLINK", "EREMOTEIO", "ECOMM", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN",
        "ENETUNREACH", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED", "EPIPE", "ETXTBSY",
    )
    if hasattr(errno, name)
)  # fmt: skip


class VidrecError(Exception):
    """Base of every failure that is reported as one line, without a traceback."""

    exit_code: ClassVar[int] = 1


class UsageError(VidrecError):
    exit_code = 2


class ConfigError(UsageError): ...


class MissingPackageError(VidrecError): ...


class LibraryError(VidrecError): ...


class LockedError(LibraryError):
    exit_code = 5


class MediaError(VidrecError): ...


class Cancelled(VidrecError):
    exit_code = 130


class EmbedderError(VidrecError): ...


class CapabilityError(EmbedderError): ...


class JobError(EmbedderError): ...


class TransientError(EmbedderError): ...


class UnexpectedError(TransientError):
    """Whatever else one video raised; ``trace`` says where, for the log."""

    trace: str = ""


class QuotaError(EmbedderError): ...


class OutageError(EmbedderError): ...


class AccountError(EmbedderError): ...


class OverCapError(EmbedderError): ...


class StoreError(VidrecError): ...


class NoIndexError(StoreError): ...


class FingerprintError(StoreError): ...


class StorageError(VidrecError):
    """Object storage refused or failed; ``code`` is the storage's own word for it."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class DatasetError(VidrecError): ...


class TrainingError(VidrecError): ...


class BelowMinimum(VidrecError): ...


class NoConfidentMatch(VidrecError):
    exit_code = 3


class PartialFailure(VidrecError):
    exit_code = 4


# What ends a run of many: no other video or query would be spared.
RUN_ENDS = (
    QuotaError, OutageError, AccountError, ConfigError, LibraryError, MissingPackageError,
    Cancelled,
)  # fmt: skip


def may_pass(exc: BaseException) -> bool:
    """Whether an error of the system says nothing of the file: a later run may not meet it."""
    number = getattr(exc, "errno", None)
    return isinstance(exc, MemoryError) or number in _STARVED or number in _PASSING


def failure_of(exc: Exception) -> VidrecError:
    """Return one video's failure as what is reported of it.

    A want of memory, descriptors or disk says nothing of the video, nor does a file that the
    system would not let be read: a later run tries it again, whatever was made of it on the way.

    Raises:
        VidrecError, ModuleNotFoundError: the failure is no single video's (a quota, a setting, the
            library, a package that is not installed): it ends the run.
    """
    if isinstance(exc, (*RUN_ENDS, ModuleNotFoundError)):
        raise exc
    if (starved := _cause(exc, _is_want)) is not None:
        reason = getattr(starved, "strerror", None) or "out of memory"
        return TransientError(f"{reason[0].lower()}{reason[1:]}: nothing is known of the file")
    if isinstance(exc, MediaError) and _cause(exc, _passes) is not None:
        return TransientError(str(exc))
    if isinstance(exc, VidrecError):
        return exc
    reason = " ".join(str(exc).split())
    error = UnexpectedError(f"{type(exc).__name__}: {reason}" if reason else type(exc).__name__)
    error.trace = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__, limit=-8))
    import logging

    logging.getLogger("vidrec").debug("unexpected failure", exc_info=exc)
    return error


def _cause(exc: BaseException | None, fits: Callable[[BaseException], bool]) -> object:
    """Return the exception that fits among one and what it came from, or None."""
    for _ in range(8):
        if exc is None or fits(exc):
            return exc
        exc = exc.__cause__
    return None


def _is_want(exc: BaseException) -> bool:
    return isinstance(exc, MemoryError) or (isinstance(exc, OSError) and exc.errno in _STARVED)


def _passes(exc: BaseException) -> bool:
    """Whether the system refused to read; a decoder says "I/O error" of damaged files, too."""
    decoder = type(exc).__module__.partition(".")[0] == "av"
    return isinstance(exc, OSError) and may_pass(exc) and not decoder
