"""Nothing in the package needs a system of one kind to be imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vidrec

PACKAGE = Path(vidrec.__file__).parent
ONE_SYSTEMS = {
    "crypt", "curses", "fcntl", "grp", "msvcrt", "nis", "posix", "pty", "pwd", "readline",
    "resource", "spwd", "syslog", "termios", "tty", "winreg", "_winapi",
}  # fmt: skip
# What `os` and `signal` have on some systems only.
SOME_HAVE = {
    "fork", "forkpty", "getuid", "geteuid", "getgid", "setsid", "killpg", "getpgid", "mkfifo",
    "statvfs", "sched_getaffinity", "wait4", "nice", "chown", "O_NOFOLLOW", "O_DIRECTORY",
    "SIGKILL", "SIGHUP", "SIGALRM", "SIGPIPE", "SIGUSR1", "SIGUSR2", "setitimer", "alarm",
    "pthread_kill", "pthread_sigmask",
}  # fmt: skip


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports when it is loaded: not what its functions do."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from imported(node)


def of_one_system(text: str) -> list[str]:
    tree = ast.parse(text)
    attributes = [
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("os", "signal")
        and node.attr in SOME_HAVE
    ]
    return attributes + [name for name in imported(tree) if name in ONE_SYSTEMS]


def test_no_module_needs_a_system_of_one_kind() -> None:
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in PACKAGE.rglob("*.py")
        if (names := of_one_system(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import fcntl", ["fcntl"]),
        ("if True:\n    from pwd import getpwnam", ["pwd"]),
        ("class A:\n    import resource", ["resource"]),
        ("def f():\n    import fcntl", []),
        ("import os\ndef f():\n    os.geteuid()", ["os.geteuid"]),
        ("import os\nos.replace('a', 'b')", []),
    ],
)
def test_the_look_sees_what_it_should(text: str, names: list[str]) -> None:
    assert of_one_system(text) == names
