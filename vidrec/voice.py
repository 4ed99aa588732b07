"""How loud a command is, and the file that it writes down what it says to.

Every line on stderr also goes to the log, with a time stamp and without control characters.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from vidrec import display
from vidrec.errors import VidrecError


def speak(*, quiet: bool, verbose: bool, log_file: Path | None) -> None:
    """Set how loud this command is, and where it is written down.

    Raises:
        VidrecError: the log file cannot be written.
    """
    display.be_quiet(quiet)
    log = logging.getLogger("vidrec")
    for handler in [*log.handlers]:
        log.removeHandler(handler)
        handler.close()
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    log.addHandler(logging.NullHandler())
    if verbose:
        told = logging.StreamHandler(sys.stderr)
        told.setFormatter(_Lines("%(message)s"))
        told.addFilter(lambda record: not getattr(record, "shown", False))
        log.addHandler(told)
    if log_file is not None:
        try:
            written = _LogFile(log_file, encoding="utf-8", errors="backslashreplace")
        except OSError as exc:
            raise VidrecError(f"cannot write the log {log_file}: {exc.strerror}") from exc
        written.setFormatter(_Lines("%(asctime)s.%(msecs)03d %(levelname)s %(message)s"))
        log.addHandler(written)


class _LogFile(logging.FileHandler):
    """The log. Where it takes no more, that is said once, and the run goes on."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        reason = getattr(sys.exc_info()[1], "strerror", None) or sys.exc_info()[1]
        if not self._told:
            self._told = True
            display.Bar().warn(f"cannot write the log {self.baseFilename}: {reason}; going on")


class _Lines(logging.Formatter):
    """Records as lines without control characters; a trace's lines are indented."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"

    def __init__(self, form: str) -> None:
        super().__init__(form, self.default_time_format)

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).splitlines()
        return "\n  ".join(display.plain(line) for line in lines)
