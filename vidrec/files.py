"""Looking at paths as users give them: no name, folder or permission makes that raise.

``Path.is_file`` and its like raise where a folder may not be entered or a name is too long
(before Python 3.14), and ``Path.expanduser`` where ``~name`` is nobody's home.
"""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` replaced, where it stands for a home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def exists(path: Path) -> bool:
    """Whether something is there and may be looked at."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Whether a regular file is there and may be looked at."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether a folder is there and may be looked at."""
    return os.path.isdir(path)  # noqa: PTH112


def is_text(path: str | Path) -> bool:
    """Whether a name can be written down as text: one in another encoding than UTF-8 cannot."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
