"""A real server over HTTP, in a thread of the test; and a library of real, small videos."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from tests.clips import write_clips
from tests.tiny_video import write_video as write_plain
from tests.videos import write_video
from tests.word_library import put, word_settings
from vidrec.config import Settings, load_settings
from vidrec.ingest.embed import embed
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.serve.run import listen, server_of
from vidrec.serve.served import opened


@contextmanager
def serving(
    settings: Settings, host: str = "127.0.0.1", token: str | None = None, paid: int = 0
) -> Iterator[httpx.Client]:
    """Serve on a port of its own; give a client that speaks to it."""
    settings.serve.host, settings.serve.token = host, SecretStr(token) if token else None
    with listen(host, 0) as heard, opened(settings, paid) as served:
        server = server_of(served)
        thread = threading.Thread(target=server.run, args=([heard],), daemon=True)
        thread.start()
        host = "127.0.0.1" if host == "0.0.0.0" else host
        address = f"http://{host}:{heard.getsockname()[1]}"
        try:
            with httpx.Client(base_url=address, timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A library of word vectors whose videos are real files: MP4 that plays, and XviD in AVI."""
    settings = word_settings(tmp_path, monkeypatch, cache=tmp_path / "cache")
    folder = tmp_path / "films"
    folder.mkdir()
    shown = {
        "cat.mp4": ["red cat", "cat", "green"],
        "dog.mp4": ["dog", "dog green"],
        "wall.avi": ["red"],
    }
    with Library(settings.library) as library:
        for number, (name, clips) in enumerate(shown.items()):
            path = folder / name
            if name.endswith("mp4"):
                write_video(path, 50 + number, audio_sec=1)
            else:
                write_plain(path, seconds=2, fps=12)
            about = {"path": path, "size": path.stat().st_size, "label": name[:3].title()}
            put(library, name, clips, about=about)
        ids = library.ids_of(["cat.mp4"])["cat.mp4"]
        library.set_fields([(ids[0], {"year": 1999})])
    index(settings)
    return settings


@pytest.fixture
def colours(tmp_path: Path, prepared_models: Path) -> Settings:
    """A library of the default embedder, which takes texts, clips and pictures."""
    settings = load_settings(overrides={"library": tmp_path / "library", "cache": tmp_path / "c"})
    (tmp_path / "c").mkdir()
    for made in prepared_models.iterdir():  # models are prepared once a run
        (tmp_path / "c" / made.name).symlink_to(made)
    write_clips(tmp_path / "clips", ["red", "blue", "green"])
    embed(settings, [str(tmp_path / "clips")])
    index(settings)
    return settings


def id_of(client: httpx.Client, name: str) -> str:
    """Return the id of the video of that name."""
    found = client.get("/api/videos", params={"q": name}).json()["videos"]
    return next(video["id"] for video in found if video["name"] == name)
