"""What every store must do, compared with a brute-force search in float64.

``store_kinds`` names the stores; each test runs on all of them.
"""

from __future__ import annotations

import fnmatch
import math
import random
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import word_embedder
from tests.store_kinds import STORES, Match, StoreMaker, find, make
from vidrec.conditions import Condition, Filter
from vidrec.config import load_settings
from vidrec.errors import FingerprintError, NoIndexError, StoreError, UsageError
from vidrec.stores import open_store
from vidrec.stores.base import VectorStore, check_query, index_command
from vidrec.types import PAYLOAD_FIELDS, Payload, Point

FINGERPRINT = "test:model:8:0123456789"
DIM = 8


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ZeroDivisionError('in two\\nlines')", "ZeroDivisionError: in two lines"),
        ("import no_such_package", "no_such_package"),
        ("make = None", "cannot be opened"),
        ("make = lambda settings: 5", "made a int, which stores nothing"),
        (
            "from tests.plain_store import PlainStore\n"
            "make = lambda settings: PlainStore({}, 'here')",
            "calls itself plain: both must be the same",
        ),
    ],
)
def test_a_plug_in_that_cannot_be_opened_is_one_line(
    body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_store.py").write_text(body)
    word_embedder.install(tmp_path, monkeypatch, "broken", "broken_store:make", "store")
    monkeypatch.delitem(sys.modules, "broken_store", raising=False)
    with pytest.raises(StoreError, match="broken") as caught:
        open_store(load_settings(overrides={"store.name": "broken"}))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest) -> Iterator[StoreMaker]:
    """A function that opens the same collection again for the same folder."""
    with STORES[request.param]() as make:
        yield make


@pytest.fixture
def store(make_store: StoreMaker, tmp_path: Path) -> Iterator[VectorStore]:
    opened = make_store(tmp_path)
    yield opened
    opened.close()


def unit(values: Any) -> np.ndarray:
    vector = np.asarray(values, dtype=np.float64)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def make_point(
    number: int, vector: Any, video: int = 0, scope: str = "clip", **payload: Any
) -> Point:
    values: dict[str, Any] = {
        "video_id": f"{video:064x}",
        "filename": f"film {video}.mp4",
        "scope": scope,
        "start_sec": float(number),
        "end_sec": number + 2.5,
        **payload,
    }
    return Point(
        str(uuid.uuid5(uuid.NAMESPACE_URL, f"point-{number}")), unit(vector), Payload(**values)
    )


def random_points(rng: random.Random, n: int) -> list[Point]:
    """Points with many equal vectors, several a video, and every kind of payload value."""
    noise = np.random.default_rng(rng.randrange(2**32))
    shapes = noise.standard_normal((max(1, n // 3), DIM))
    points = []
    for number in range(n):
        vector = shapes[rng.randrange(len(shapes))]
        if rng.random() < 0.5:
            vector = noise.standard_normal(DIM)
        video = rng.randrange(max(1, n // 4))
        extra = {
            "year": rng.choice([1999, 2007, 2007.0]),
            "quoted": rng.choice(['say "hi"', "back\\slash", "naïve 🎬"]),
            "seen": rng.choice([True, False]),
        }
        if rng.random() < 0.3:
            del extra["year"]
        points.append(
            make_point(
                number, vector, video, rng.choice(["clip", "clip", "video"]),
                label=rng.choice(["cat", "dog", None]), extra=extra,
                path=f"/films/{video}.mp4", duration_sec=12.5,
            )
        )  # fmt: skip
    return points


def holds(stored: Any, op: str, wanted: tuple[Any, ...]) -> bool:
    """What a condition means, said once more."""
    number = isinstance(stored, (int, float)) and not isinstance(stored, bool)
    if op in ("<", "<=", ">", ">="):
        alike = isinstance(stored, str) if isinstance(wanted[0], str) else number
        below, equal = alike and stored < wanted[0], alike and stored == wanted[0]
        return {"<": below, "<=": below or equal, ">": alike and not below and not equal,
                ">=": alike and not below}[op]  # fmt: skip
    if op == "~":
        return isinstance(stored, str) and any(fnmatch.fnmatchcase(stored, w) for w in wanted)
    same = any(type(w) is type(stored) or (number and type(w) is not bool and w is not None
               and not isinstance(w, str)) for w in wanted if w == stored)  # fmt: skip
    return same != (op == "!=")


def oracle(
    points: list[Point], vector: np.ndarray, k: int, where: Filter | None, by_video: bool
) -> list[tuple[str, float]]:
    """The whole answer by brute force: (id, score)."""
    where = where or Filter()
    found = []
    for point in points:
        flat = point.payload.as_dict()
        if where.scope and flat["scope"] != where.scope:
            continue
        if flat["video_id"] in where.exclude_videos:
            continue
        if not all(holds(flat.get(c.key), c.op, c.values) for c in where.conditions):
            continue
        products = point.vector.astype(np.float64) * vector.astype(np.float64)
        found.append((-math.fsum(products), point.id, flat["video_id"]))
    found.sort(key=lambda item: (round(item[0], 12), item[1]))
    answer, seen = [], set()
    for score, name, video in found:
        if not by_video or video not in seen:
            seen.add(video)
            answer.append((name, -score))
    return answer[:k]


def assert_answer(matches: list[Match], expected: list[tuple[str, float]]) -> None:
    assert [match.id for match in matches] == [name for name, _ in expected]
    for match, (_, score) in zip(matches, expected, strict=True):
        assert match.score == pytest.approx(score, abs=1e-4)


def random_filter(rng: random.Random, points: list[Point]) -> Filter | None:
    if rng.random() < 0.2:
        return None
    choices: dict[str, list[Any]] = {
        "label": ["cat", "dog", None, "nothing has it"],
        "year": [1999, 2007, 2007.0, None, "1999"],
        "quoted": ['say "hi"', "back\\slash", "naïve 🎬"],
        "seen": [True, False],
        "start_sec": [point.payload.start_sec for point in points],
        "scope": ["clip", "video"],
        "video_id": [point.payload.video_id for point in points],
        "filename": [point.payload.filename for point in points],
    }
    conditions = [
        Condition(key, rng.choice(["in", "in", "!="]),
                  tuple(rng.sample(choices[key], rng.randint(1, min(3, len(choices[key]))))))
        for key in rng.sample(sorted(choices), rng.choice([0, 1, 1, 2]))
    ]  # fmt: skip
    if rng.random() < 0.3:
        some = rng.choice([1999, 2000, 2007.5])
        conditions.append(Condition("year", rng.choice(["<", "<=", ">", ">="]), some))
    if rng.random() < 0.3:
        pattern = rng.choice(
            ["*", "c*", "?og", "[cd]*t", "C*", "*🎬", "[!c]*", "[^d]*", "[", "[]]"]
        )
        conditions.append(Condition(rng.choice(["label", "quoted"]), "~", pattern))
    if rng.random() < 0.3:
        text = rng.choice(["cat", "cau", "Z", "film 1.mp4", "naïve 🎬", ""])
        key = rng.choice(["label", "quoted", "filename", "year"])
        conditions.append(Condition(key, rng.choice(["<", "<=", ">", ">="]), text))
    videos = sorted({point.payload.video_id for point in points})
    return Filter(
        scope=rng.choice([None, None, "clip", "video"]),
        conditions=tuple(conditions),
        exclude_videos=frozenset(rng.sample(videos, rng.choice([0, 0, 1, len(videos) // 2]))),
    )


def fill(store: VectorStore, points: list[Point], dim: int = DIM) -> None:
    make(store, FINGERPRINT, dim)
    assert store.upsert(points) == len(points)


@pytest.mark.parametrize("seed", range(6))
def test_query_answers_as_brute_force_does(store: VectorStore, seed: int) -> None:
    rng = random.Random(seed)
    points = random_points(rng, rng.choice([1, 7, 60, 150]))
    fill(store, points)
    for _ in range(25):
        vector = rng.choice([*points]).vector if rng.random() < 0.5 else unit(
            [rng.gauss(0, 1) for _ in range(DIM)]
        )  # fmt: skip
        k = rng.choice([1, 2, 5, 15, len(points), 10 * len(points)])
        where, by_video = random_filter(rng, points), rng.random() < 0.5
        try:
            matches = find(store, vector, k=k, where=where, by_video=by_video)
        except UsageError:  # a condition on a key that this random library lacks
            keys = {key for point in points for key in point.payload.as_dict()}
            assert where is not None and not {c.key for c in where.conditions} <= keys
            continue
        assert_answer(matches, oracle(points, vector, k, where, by_video))


def test_payloads_come_back_whole(store: VectorStore) -> None:
    points = random_points(random.Random(1), 40)
    fill(store, points)
    by_id = {point.id: point for point in points}
    for match in find(store, points[0].vector, k=40, by_video=False):
        assert match.payload == by_id[match.id].payload
    got = store.get([points[3].id, str(uuid.uuid4()), points[1].id])
    assert [point.id for point in got] == [points[3].id, points[1].id]
    for point in got:
        assert point.payload == by_id[point.id].payload
        np.testing.assert_allclose(point.vector, by_id[point.id].vector, atol=1e-6)
        assert point.vector.dtype == np.float32


def test_equal_scores_are_ranked_by_id_at_every_limit(store: VectorStore) -> None:
    same = [make_point(n, [1, 2, 3, 4, 5, 6, 7, 8], video=n % 20) for n in range(50)]
    other = [make_point(n, [1, 0, 0, 0, 0, 0, 0, n], video=n) for n in range(50, 60)]
    points = same + other
    random.Random(0).shuffle(points)
    fill(store, points)
    vector = same[0].vector
    whole = [m.id for m in find(store, vector, k=60, by_video=False)]
    assert whole[:50] == sorted(point.id for point in same)
    for k in (1, 5, 15, 49):
        assert [m.id for m in find(store, vector, k=k, by_video=False)] == whole[:k]
        assert_answer(find(store, vector, k=k), oracle(points, vector, k, None, True))


def test_a_video_with_most_points_leaves_room_for_others(store: VectorStore) -> None:
    noise = np.random.default_rng(3)
    base = noise.standard_normal(DIM)
    crowd = [make_point(n, base + 0.01 * noise.standard_normal(DIM)) for n in range(300)]
    rest = [make_point(n, noise.standard_normal(DIM), video=n) for n in range(300, 305)]
    fill(store, crowd + rest)
    matches = find(store, unit(base), k=4)
    assert_answer(matches, oracle(crowd + rest, unit(base), 4, None, True))
    assert len({match.payload.video_id for match in matches}) == 4


def test_the_same_id_again_replaces_the_point(store: VectorStore) -> None:
    points = random_points(random.Random(5), 30)
    fill(store, points)
    assert store.upsert(points) == 30
    assert store.count() == 30
    moved = replace(points[4], vector=unit(range(1, DIM + 1)))
    renamed = replace(points[5], payload=replace(points[5].payload, label="renamed"))
    store.upsert([points[4], moved, renamed])  # the last of equal ids wins
    assert store.count() == 30
    assert find(store, moved.vector, k=1)[0].id == moved.id
    found = find(
        store,
        points[0].vector,
        k=9,
        where=Filter(conditions=(Condition("label", "=", "renamed"),)),
    )
    assert [match.id for match in found] == [renamed.id]
    now = [*points[:4], moved, renamed, *points[6:]]
    assert_answer(
        find(store, points[4].vector, k=30, by_video=False),
        oracle(now, points[4].vector, 30, None, False),
    )


def test_deleted_points_are_gone_and_may_come_back(store: VectorStore) -> None:
    points = random_points(random.Random(6), 40)
    fill(store, points)
    gone = [point.id for point in points[::2]]
    assert store.delete([*gone, str(uuid.uuid4())]) == 20
    assert store.delete(gone) == 0
    assert store.count() == 20
    assert sorted(store.ids()) == sorted(point.id for point in points[1::2])
    assert store.get(gone) == []
    vector = points[0].vector
    assert_answer(
        find(store, vector, k=40, by_video=False), oracle(points[1::2], vector, 40, None, False)
    )
    store.upsert(points[:1])
    assert store.count() == 21
    assert find(store, vector, k=21, by_video=False)[0].score == pytest.approx(1, abs=1e-5)


def test_vectors_of_another_length_are_made_unit(store: VectorStore) -> None:
    long = replace(make_point(1, [1] * DIM), vector=np.full(DIM, 7, dtype=np.float32))
    fill(store, [long, make_point(2, [1, -1] * (DIM // 2), video=2)])
    matches = find(store, np.full(DIM, 100, dtype=np.float32), k=2)
    assert [match.score for match in matches] == pytest.approx([1, 0], abs=1e-5)


@pytest.mark.parametrize("values", [[0.0] * DIM, [math.nan] * DIM, [math.inf] + [0.0] * (DIM - 1)])
def test_vectors_without_direction_are_refused(store: VectorStore, values: list[float]) -> None:
    good = make_point(1, [1] * DIM)
    fill(store, [good])
    vector = np.array(values, dtype=np.float32)
    with pytest.raises(UsageError, match="no direction"):
        store.upsert([replace(make_point(2, [1] * DIM), vector=vector)])
    with pytest.raises(UsageError, match="no direction"):
        find(store, vector, k=1)
    assert [match.id for match in find(store, good.vector, k=5)] == [good.id]


def test_wrong_arguments_are_named(store: VectorStore) -> None:
    point = make_point(1, [1] * DIM, extra={"camera": "left"})
    fill(store, [point])
    for k in (0, -1):
        with pytest.raises(UsageError, match=f"Received: k={k}"):
            find(store, point.vector, k=k)
    with pytest.raises(UsageError, match=str(DIM)):
        find(store, np.ones(3, dtype=np.float32), k=1)
    with pytest.raises(UsageError, match=str(DIM)):
        store.upsert([replace(point, vector=np.ones(3, dtype=np.float32))])
    with pytest.raises(UsageError) as failure:
        find(
            store,
            point.vector,
            k=1,
            where=Filter(conditions=(Condition("camrea", "=", "left"),)),
        )
    for key in ("camrea", "camera", *PAYLOAD_FIELDS):
        assert key in str(failure.value)
    assert "\n" not in str(failure.value)


def test_nothing_is_there_before_the_first_index(store: VectorStore) -> None:
    assert store.info() is None
    assert store.count() == 0
    assert list(store.ids()) == []
    assert store.get([str(uuid.uuid4())]) == []
    with pytest.raises(NoIndexError, match="vidrec index"):
        find(store, unit([1] * DIM), k=1)
    with pytest.raises(NoIndexError, match="vidrec index"):
        store.upsert([make_point(1, [1] * DIM)])


def test_no_number_of_results_is_too_large(store: VectorStore) -> None:
    fill(store, [make_point(1, [1] * DIM)])
    for by_video in (True, False):
        assert len(find(store, unit([1] * DIM), k=10**24, by_video=by_video)) == 1


def test_an_empty_collection_matches_nothing(store: VectorStore) -> None:
    fill(store, [])
    assert find(store, unit([1] * DIM), k=3) == []
    assert find(store, unit([1] * DIM), k=3, where=Filter(scope="clip"), by_video=False) == []
    assert store.count() == 0


def test_info_names_the_fingerprint(store: VectorStore) -> None:
    fill(store, random_points(random.Random(2), 12))
    info = store.info()
    assert info is not None
    assert (info.fingerprint, info.dim, info.count) == (FINGERPRINT, DIM, 12)
    assert info.place == store.place
    vector = unit([1] * DIM)
    assert len(find(store, vector, k=99, by_video=False, fingerprint=FINGERPRINT)) == 12
    with pytest.raises(FingerprintError, match="other:model:8:99"):
        find(store, vector, k=1, fingerprint="other:model:8:99")
    with pytest.raises(FingerprintError, match="--recreate"):
        check_query(info, np.eye(1, info.dim), "other:model:8:99", "knn", "test")


def test_another_opening_sees_what_was_written(make_store: StoreMaker, tmp_path: Path) -> None:
    points = random_points(random.Random(8), 25)
    writer = make_store(tmp_path)
    fill(writer, points)
    writer.close()
    reader = make_store(tmp_path)
    assert reader.count() == 25
    vector = points[7].vector
    assert_answer(find(reader, vector, k=5), oracle(points, vector, 5, None, True))
    reader.close()


def test_a_rebuilt_index_is_visible_at_once_or_not_at_all(store: VectorStore) -> None:
    old, new = random_points(random.Random(1), 20), random_points(random.Random(2), 35)
    fill(store, old)
    vector = old[0].vector
    before = find(store, vector, k=5)
    with pytest.raises(RuntimeError, match="stop"), store.rebuild("new:m:8:1", DIM) as writer:
        writer.upsert(new)
        raise RuntimeError("stop")
    assert find(store, vector, k=5) == before
    with store.rebuild("new:m:8:1", DIM) as writer:
        assert writer.upsert(new[:30]) == 30
        assert writer.upsert(new[25:]) == 10
        assert find(store, vector, k=5) == before
        assert store.count() == 20
    info = store.info()
    assert info is not None and (info.fingerprint, info.count) == ("new:m:8:1", 35)
    assert_answer(find(store, vector, k=5), oracle(new, vector, 5, None, True))


def test_a_rebuild_may_change_the_dimension_and_start_from_nothing(store: VectorStore) -> None:
    with store.rebuild(FINGERPRINT, 3) as writer:
        writer.upsert([make_point(1, [1, 0, 0])])
        assert store.info() is None
    with store.rebuild(FINGERPRINT, 4) as writer:
        writer.upsert([make_point(1, [1, 0, 0, 0])])
    info = store.info()
    assert info is not None and (info.dim, info.count) == (4, 1)


def test_what_was_written_before_an_error_stays(store: VectorStore) -> None:
    make(store, FINGERPRINT, DIM)
    points = random_points(random.Random(9), 5)

    def stream() -> Iterator[Point]:
        yield from points
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        store.upsert(stream())
    store.upsert(points)
    assert store.count() == 5


@pytest.mark.parametrize("seed", range(2))
def test_random_histories_end_in_the_same_library(store: VectorStore, seed: int) -> None:
    rng = random.Random(100 + seed)
    pool = random_points(rng, 80)
    held: dict[str, Point] = {}
    fill(store, [])
    for _ in range(25):
        some = rng.sample(pool, rng.randint(1, 20))
        action = rng.choice(["upsert", "upsert", "delete", "rebuild"])
        if action == "upsert":
            some = [
                replace(point, payload=replace(point.payload, label=rng.choice(["a", "b"])))
                for point in some
            ]
            store.upsert(some)
            held |= {point.id: point for point in some}
        elif action == "delete":
            count = len([point for point in some if held.pop(point.id, None)])
            assert store.delete(point.id for point in some) == count
        elif rng.random() < 0.3:
            with store.rebuild(FINGERPRINT, DIM) as writer:
                writer.upsert(some)
            held = {point.id: point for point in some}
        assert store.count() == len(held)
    assert sorted(store.ids()) == sorted(held)
    vector = pool[0].vector
    assert_answer(
        find(store, vector, k=99, by_video=False),
        oracle(list(held.values()), vector, 99, None, False),
    )
    assert_clips(store, pool, held)


def assert_clips(store: VectorStore, pool: Sequence[Point], held: dict[str, Point]) -> None:
    """A store either has no clips at hand or all that it holds, by start, bit for bit."""
    found = store.clips_of([*{point.payload.video_id for point in pool}, "unknown"])
    if found is None:
        return
    clips: dict[str, list[tuple[float, float, bytes]]] = {}
    for point in held.values():
        if point.payload.scope == "clip":
            span = point.payload.start_sec, point.payload.end_sec
            clips.setdefault(point.payload.video_id, []).append((*span, point.vector.tobytes()))
    assert found.keys() == clips.keys()
    for video, some in found.items():
        spans = list(zip(some.starts.tolist(), some.ends.tolist(), strict=True))
        assert spans == sorted(spans)
        told = [(*span, vector.tobytes()) for span, vector in zip(spans, some.vectors, strict=True)]
        assert sorted(told) == sorted(clips[video])


def test_the_command_that_mends_an_index_is_of_that_index() -> None:
    assert index_command("knn", "conse") == "vidrec index"
    assert index_command("qdrant", "marengo", "--recreate") == (
        "vidrec index --embedder marengo --store qdrant --recreate"
    )
