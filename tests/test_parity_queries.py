"""Every store gives the same answer to everything that may be asked: random libraries and queries.

Likes, dislikes and weights, both pools, histories, variety, caps, copies, moments, scopes and
conditions, on tone too: in the local index, Qdrant's engine and a server's stand-in.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.standin_qdrant import StandinQdrant
from tests.tone_library import toned
from vidrec.config import Settings, load_settings
from vidrec.embedders.conse import ConseEmbedder
from vidrec.errors import UsageError
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.models.conse import DIM, SEEN_DIM
from vidrec.models.tone import AXES
from vidrec.search.answers import document
from vidrec.search.conditions import parse_conditions
from vidrec.search.query import Part, Query
from vidrec.search.session import Session
from vidrec.types import Embedding, Video, VideoInfo
from vidrec.vectors import unit

QUERIES = 20  # a library
TEXTS = (
    "a dog on the beach", "dark and gloomy", "bright", "fast action", "calm", "a red car",
    "cold blue tones", "a cartoon", "people in a kitchen", "fireworks at night",
)  # fmt: skip
CONDITIONS = (
    "label=a", "label!=b", "label in a,c", "duration_sec > 15", "duration_sec<=20", "folder=one",
    "filename ~ *1*", "year>2000", "year=2001", "mood!=dark", "tone=dark", "tone!=bright",
    "tone.light<0.5", "tone.motion >= 0.4", "tone in cold,warm", "video_id ~ *f*",
)  # fmt: skip


def random_library(settings: Settings, rng: random.Random) -> list[str]:
    """Fill a library with videos of which some are equal or nearly so; return their ids."""
    fingerprint = ConseEmbedder(settings).fingerprint
    noise = np.random.default_rng(rng.randrange(2**32))
    shapes = [noise.standard_normal(SEEN_DIM) for _ in range(8)]
    ids = []
    with Library(settings.library) as library:
        library._db.execute("PRAGMA synchronous = OFF")
        library.register(fingerprint)
        for number in range(rng.choice([3, 12, 40, 70])):
            clips = []
            for _ in range(rng.choice([1, 1, 2, 3, 5])):
                seen = rng.choice(shapes)
                if rng.random() < 0.7:
                    seen = seen + rng.choice([1e-6, 0.1, 1.0]) * noise.standard_normal(SEEN_DIM)
                clips.append(toned(seen, {a: rng.choice([-2, -1, 0, 0, 1, 2]) for a in AXES}))
            video_id = f"{rng.randrange(2**64):064x}"
            folder = Path("/films") / rng.choice(["one", "two"])
            info = VideoInfo(10.0 * len(clips), 640, 360)
            label = rng.choice(["a", "b", "c", None])
            name = f"{number}.mp4"
            library.add_video(Video(video_id, name, folder / name, label=label, info=info))
            key = (video_id, str(fingerprint))
            rows = [
                Embedding(*key, "clip", 10.0 * i, 10.0 * i + 10, v) for i, v in enumerate(clips)
            ]
            whole = unit(np.mean(clips, axis=0))
            rows.append(Embedding(*key, "video", 0.0, 10.0 * len(clips), whole))
            library.save_embeddings(video_id, rows, 10.0)
            ids.append(video_id)
        fields = {"year": [1999, 2001, 2007], "mood": ["dark", "light"]}
        library.set_fields(
            (video, {key: rng.choice(some) for key, some in fields.items() if rng.random() < 0.6})
            for video in ids
        )
        library.set_fields([(ids[0], {"year": 2001, "mood": "dark"})])  # so that both are known
    return ids


def random_part(rng: random.Random, ids: list[str], sign: int) -> Part:
    weight = sign * rng.choice([1.0, 1.0, 2.0, 0.5])
    match rng.choice(["text", "text", "id", "name", "vector"]):
        case "text":
            return Part("text", rng.choice(TEXTS), weight)
        case "id":
            return Part("id", rng.choice(ids), weight)
        case "name":
            return Part("name", f"{rng.randrange(len(ids))}.mp4", weight)
        case _:
            noise = np.random.default_rng(rng.randrange(2**32))
            return Part("vector", noise.standard_normal(DIM), weight)


def random_query(rng: random.Random, ids: list[str]) -> Query:
    likes = [random_part(rng, ids, 1) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    dislikes = [random_part(rng, ids, -1) for _ in range(rng.choice([0, 0, 1, 2]))]
    caps = [("label", 2), ("folder", 3), ("filename", 1), ("label", 1)]
    history = rng.sample(ids, min(len(ids), 4)) if rng.random() < 0.3 else []
    return Query(
        (*likes, *dislikes),
        k=rng.choice([1, 3, 10, 25, 200]),
        clips=rng.random() < 0.3,
        conditions=parse_conditions(rng.sample(CONDITIONS, rng.choice([0, 0, 1, 1, 2]))),
        scope=rng.choice(["clip", "clip", "video", "best"]),  # type: ignore[arg-type]
        pool=rng.choice(["mean", "max"]),  # type: ignore[arg-type]
        diversity=rng.choice([0, 0, 0.2, 0.7, 1]),
        max_per=tuple(rng.sample(caps, 1)) if rng.random() < 0.3 else (),
        dedupe=rng.random() < 0.3,
        history=tuple(history),
        like_history=bool(history) and rng.random() < 0.5,
        min_confidence=0,
        why=rng.random() < 0.2,
    )


@contextmanager
def three_stores(library: Path) -> Iterator[dict[str, Settings]]:
    """Settings of one library with each store, indexed."""
    pytest.importorskip("qdrant_edge")
    with StandinQdrant(validate=False) as server:  # test_stores and test_qdrant do
        stores: dict[str, dict[str, Any]] = {
            "knn": {},
            "edge": {"store.name": "qdrant", "qdrant.path": library / "edge"},
            "server": {"store.name": "qdrant", "qdrant.url": server.url},
        }
        yield {
            name: load_settings(overrides={"library": library, **more})
            for name, more in stores.items()
        }
        assert server.problems == []


def told(answer: dict[str, Any]) -> dict[str, Any]:
    """What must be equal; scores are compared apart."""
    rows = [
        {key: value for key, value in row.items() if key not in ("score", "why")}
        for row in answer["results"]
    ]
    return {**answer, "store": "", "results": rows}


def compare(folder: Path, libraries: int, seed: int) -> tuple[int, int, float, list[str]]:
    """Return how many cases there were, with results, the largest gap, and what differs."""
    rng = random.Random(seed)
    cases, filled, largest = 0, 0, 0.0
    different: list[str] = []
    for number in range(libraries):
        library = folder / f"library-{number}"
        ids = random_library(load_settings(overrides={"library": library}), rng)
        with three_stores(library) as stores, ExitStack() as stack:
            for settings in stores.values():
                index(settings)
            sessions = {n: stack.enter_context(Session(s)) for n, s in stores.items()}
            for _ in range(QUERIES):
                query = random_query(rng, ids)
                answers: dict[str, Any] = {}
                for name, session in sessions.items():
                    try:
                        answers[name] = document(session.recommend(query))
                    except UsageError as exc:
                        answers[name] = str(exc)
                first = answers.pop("knn")
                cases += 1
                filled += isinstance(first, dict) and bool(first["results"])
                for name, other in answers.items():
                    if isinstance(first, str) or isinstance(other, str):
                        if first != other:
                            different.append(f"{name}: {query}: {first} / {other}")
                    elif told(first) != told(other):
                        different.append(f"{name}: {query}")
                    else:
                        pairs = zip(first["results"], other["results"], strict=True)
                        for one, two in pairs:
                            largest = max(largest, abs(one["score"] - two["score"]))
                            if one.get("why") != two.get("why"):
                                different.append(f"{name}: why: {query}")
    return cases, filled, largest, different


@pytest.mark.timeout(600)
def test_stores_answer_alike(tmp_path: Path) -> None:
    cases, filled, largest, different = compare(tmp_path, libraries=2, seed=1)
    assert (cases, different) == (2 * QUERIES, [])
    assert filled > cases / 2
    assert largest < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.skipif("VIDREC_TEST_SLOW" not in os.environ, reason="VIDREC_TEST_SLOW is not set")
@pytest.mark.parametrize("quarter", range(4))
def test_stores_answer_alike_in_1200_cases(tmp_path: Path, quarter: int) -> None:
    cases, filled, largest, different = compare(tmp_path, libraries=15, seed=2 + quarter)
    print(f"{cases} cases, {filled} with results, {len(different)} different, within {largest:.1e}")
    assert (cases, different) == (15 * QUERIES, [])
    assert filled > cases / 2
    assert largest < 1e-4
