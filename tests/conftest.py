"""Every test has a home of its own; prepared models are shared by the whole run.

Where packages of extras are not installed, modules that import them are left out: what remains are
the tests of a base install.
"""

import ast
import signal
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from vidrec.extras import EXTRA_OF

# A shell's background job ignores Ctrl-C, and so would every program that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
OPTIONAL = {*EXTRA_OF, "moto", "openapi_schema_validator", "werkzeug", "httpx", "playwright"}


@cache
def lacks(path: Path) -> str:
    """Return a package that a test module imports at its top and that is not here, or nothing."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            top, _, rest = name.partition(".")
            if top in OPTIONAL and find_spec(top) is None:
                return top
            other = TESTS / f"{rest}.py"
            if top == "tests" and other.is_file() and (missing := lacks(other)):
                return missing
    return ""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what cannot be imported."""
    wanted = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if wanted and lacks(collection_path) else None


@pytest.fixture(scope="session")
def prepared_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for models, so that each is prepared once a run."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, prepared_models: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No setting, key or library of the person who runs the tests reaches them."""
    import os

    for name in list(os.environ):
        if name.startswith("VIDREC_") and not name.startswith("VIDREC_TEST_"):
            monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    monkeypatch.setenv("VIDREC_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("VIDREC_CACHE", str(prepared_models))
    yield tmp_path
