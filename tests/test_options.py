"""Marengo's kinds of vectors searched together, and texts that are paid for once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.standin_twelvelabs import TwelveLabsStandIn
from tests.test_exchange import recommended, vidrec
from tests.test_stores import unit
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.marengo.profiles import searched
from vidrec.errors import ConfigError
from vidrec.library import Library
from vidrec.types import Embedding, Video

# What is seen and what is heard in each of two clips of a film.
FILMS = {
    "concert": [("stage lights", "guitar"), ("crowd stage", "guitar drums")],
    "shop": [("guitar shelf", "street noise"), ("shelf counter", "talk")],
    "both": [("guitar player", "guitar"), ("player street", "guitar talk")],
    "forest": [("trees", "birds"), ("trees river", "water")],
}


@pytest.fixture(params=["marengo3.5", "marengo3.0"])
def labs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with TwelveLabsStandIn() as standin:
        monkeypatch.setenv("VIDREC_EMBEDDER_NAME", "marengo")
        monkeypatch.setenv("VIDREC_MARENGO_API_KEY", standin.key)
        monkeypatch.setenv("VIDREC_MARENGO_BASE_URL", standin.url)
        monkeypatch.setenv("VIDREC_MARENGO_RPM", "60000")
        monkeypatch.setenv("VIDREC_MARENGO_MODEL", request.param)
        fill(standin, request.param)
        vidrec("index")
        standin.log.clear()
        yield standin


def fill(labs: TwelveLabsStandIn, model: str) -> None:
    """What paid jobs would have left in the library."""
    settings = load_settings()
    kinds = {}
    for option in ("visual", "audio"):
        changed = settings.model_copy(deep=True)
        changed.marengo.option = option
        kinds[option] = load_embedder(changed).fingerprint
    with Library(settings.library) as library:
        for fingerprint in kinds.values():
            library.register(fingerprint)
        for number, (name, clips) in enumerate(FILMS.items()):
            video = Video(f"{number:064x}", f"{name}.mp4", Path(f"/films/{name}.mp4"))
            library.add_video(video)
            made = []
            for place, option in enumerate(kinds):
                vectors = [unit(labs.vector(model, pair[place].encode(), pair[place], 0.01))
                           for pair in clips]  # fmt: skip
                name_of = str(kinds[option])
                made += [Embedding(video.id, name_of, "clip", 4.0 * n, 4.0 * n + 4, vector)
                         for n, vector in enumerate(vectors)]  # fmt: skip
                whole = unit(np.sum(vectors, axis=0))
                made.append(Embedding(video.id, name_of, "video", 0.0, 8.0, whole))
            library.save_embeddings(video.id, made, 0.0)


def names(*options: object, k: int = 2) -> list[object]:
    return [row["filename"] for row in recommended("guitar", *options, "-k", k)]


def test_what_is_seen_and_heard_is_searched_together(labs: TwelveLabsStandIn) -> None:
    assert set(names("--option", "visual")) == {"shop.mp4", "both.mp4"}
    first, second = recommended("guitar", "--option", "visual,audio", "-k", 2)
    assert {first["filename"], second["filename"]} == {"concert.mp4", "both.mp4"}
    assert float(str(first["score"])) > 0.9  # the better of both, not their mean
    heard = recommended("guitar", "--option", "audio,visual", "--clips", "-k", 8)
    places = [(row["filename"], row["start_sec"]) for row in heard]
    assert len(set(places)) == len(places) >= 5  # a moment is there once
    assert len(labs.calls("POST", "^/embed-v2$")) == 1  # the same words, another option
    assert not labs.tasks


def test_weights_make_a_sum(labs: TwelveLabsStandIn) -> None:
    alone = {option: {row["filename"]: float(str(row["score"])) for row in
                      recommended("guitar", "--option", f"{option}=1", "-k", 9, "--where",
                                  "scope=video")}
             for option in ("visual", "audio")}  # fmt: skip
    rows = recommended("guitar", "--option", "visual=3,audio=1", "-k", 9, "--where", "scope=video")
    assert len(rows) == 4
    for row in rows:
        name = row["filename"]
        expected = 0.75 * alone["visual"][name] + 0.25 * alone["audio"][name]
        assert row["score"] == pytest.approx(expected, abs=1e-4)
    assert names("--option", "visual=1,audio=1", k=1) == ["both.mp4"]


def test_filters_and_videos_as_queries_work_as_ever(labs: TwelveLabsStandIn) -> None:
    only = names("--option", "visual,audio", "--where", "filename=forest.mp4")
    assert only == ["forest.mp4"]
    rows = recommended("id:" + f"{2:064x}", "--option", "visual,audio", "-k", 1)
    assert rows[0]["filename"] in ("concert.mp4", "shop.mp4")
    said = vidrec("recommend", "guitar", "--option", "visual,audio").stderr
    assert "vidrec index" not in said


def test_a_kind_that_was_not_paid_for_is_named(labs: TwelveLabsStandIn) -> None:
    model = load_settings().marengo.model
    if model == "marengo3.0":
        said = vidrec("recommend", "guitar", "--option", "visual,transcription", code=1).stderr
        assert "holds no vectors of marengo:marengo3.0" in said
    else:
        said = vidrec("recommend", "guitar", "--option", "visual,transcription", code=2).stderr
        assert "no embeddings of transcriptions" in said


def test_a_library_that_grows_is_seen(labs: TwelveLabsStandIn) -> None:
    from vidrec.search.query import Part, Query
    from vidrec.search.session import Session

    settings = load_settings(overrides={"marengo.option": "visual,audio"})
    query = Query((Part("text", "zither"),), k=1)
    with Session(settings) as session:
        session.recommend(query)
        with Library(settings.library) as library:
            video = Video("f" * 64, "new.mp4")
            library.add_video(video)
            vector = unit(labs.vector(settings.marengo.model, b"z", "zither", 0.01))
            for fingerprint, _ in load_embedder(settings).searched:
                clip = Embedding(video.id, fingerprint, "clip", 0.0, 4.0, vector)
                library.save_embeddings(video.id, [clip], 0.0)
        assert session.recommend(query).results[0].filename == "new.mp4"


@pytest.mark.parametrize(
    "option", ["smell", "", "visual,visual", "visual=0.5,audio", "visual=0", "visual=x", "a=-1"]
)
def test_what_cannot_be_meant_is_refused(option: str) -> None:
    with pytest.raises(ValueError):
        searched(option)
    settings = load_settings(overrides={"marengo.option": option, "embedder.name": "marengo"})
    with pytest.raises(ConfigError, match="option"):
        load_embedder(settings)
