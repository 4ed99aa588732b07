"""Pages of the list are made once for all who turn to them, and never stale."""

from __future__ import annotations

from tests.serving import films, serving
from vidrec.config import Settings
from vidrec.library import Library
from vidrec.serve.recent import Recent

__all__ = ["films"]


def test_what_is_kept_has_its_version_its_time_and_little_room() -> None:
    now, made = [0.0], [0]

    def make() -> bytes:
        made[0] += 1
        return bytes(400)

    recent = Recent(2.0, 1000, lambda: now[0])
    for key in ("a", "a", "b"):
        recent.get(key, 1, make)
    assert made[0] == 2
    recent.get("c", 1, make)  # no room for three: the oldest goes
    recent.get("b", 1, make)
    assert made[0] == 3
    recent.get("a", 1, make)
    assert made[0] == 4
    recent.get("a", 2, make)
    assert made[0] == 5
    now[0] = 2.5
    recent.get("a", 2, make)
    assert made[0] == 6
    assert recent.get("large", 2, lambda: bytes(2000)) == bytes(2000)


def test_a_list_shows_at_once_what_another_process_wrote(films: Settings) -> None:
    with serving(films) as client:

        def labels() -> list[str]:
            return [row["label"] for row in client.get("/api/videos").json()["videos"]]

        assert labels() == labels() == ["Cat", "Dog", "Wal"]
        with Library(films.library) as library:
            (cat,) = library.ids_of(["cat.mp4"])["cat.mp4"]
            library.set_label(cat, "Lion")
        assert labels() == ["Lion", "Dog", "Wal"]
