"""Every test has a home of its own; prepared models are shared by the whole run."""

from collections.abc import Iterator
from pathlib import Path

import pytest


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
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    monkeypatch.setenv("VIDREC_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("VIDREC_CACHE", str(prepared_models))
    yield tmp_path
