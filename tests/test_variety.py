"""Several tastes, variety and what is held back: the same whatever k, and the same as by hand."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.asking import ask
from tests.word_embedder import WORDS
from tests.word_library import put, shown, word_settings
from vidrec.calibration import Calibration
from vidrec.config import Settings
from vidrec.errors import UsageError
from vidrec.ingest.index import index
from vidrec.library import Library
from vidrec.search.session import Answer


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Forty videos of random words, some of them copies of others."""
    settings = word_settings(tmp_path, monkeypatch)
    rng = random.Random(5)
    with Library(settings.library) as library:
        library._db.execute("PRAGMA synchronous = OFF")
        for number in range(36):
            clips = [" ".join(rng.choices(WORDS, k=rng.randint(1, 5))) for _ in range(3)]
            folder = Path("/films") / f"folder {number % 3}"
            about = {"label": rng.choice(["a", "b", None]), "path": folder / f"{number}.mp4"}
            put(library, f"{number}.mp4", clips, about=about)
            if number % 9 == 0:
                put(library, f"{number} copy.mp4", clips, about={"label": "copy"})
    index(settings)
    return settings


def names(answer: Answer) -> list[str]:
    return [row.filename for row in answer.results]


VARIOUS: list[dict[str, Any]] = [
    {}, {"pool": "max"}, {"dedupe": True}, {"max_per": (("label", 2),)},
    {"max_per": (("folder", 3), ("label", 4)), "dedupe": True, "pool": "max"},
    {"clips": True}, {"clips": True, "pool": "max", "max_per": (("filename", 1),)},
    {"scope": "best"}, {"scope": "video", "dedupe": True},
]  # fmt: skip


@pytest.mark.parametrize("options", VARIOUS)
def test_the_first_of_a_longer_list_are_the_shorter_list(
    words: Settings, options: dict[str, Any]
) -> None:
    for likes, dislikes in ((["red cat"], []), (["red", "dog"], ["blue"]), (["3.mp4"], ["cat"])):
        asked = {"like": likes, "unlike": dislikes, **options}
        longest = ask(words, [], k=60, **asked).results
        for k in (1, 2, 5, 11):
            assert ask(words, [], k=k, **asked).results == longest[:k]


def test_a_maximum_is_what_it_is_by_hand(words: Settings) -> None:
    found = ask(words, [], like=["2:red", "dog"], unlike=["cat"], pool="max", k=60).results
    with Library(words.library) as library:
        (fingerprint,) = library.fingerprints()
        best = {}
        for _, e in library.embeddings(str(fingerprint)):
            if e.scope == "clip":
                wide = e.vector.astype(float)
                score = max(2 * wide @ shown("red"), wide @ shown("dog"))
                score -= max(0.0, wide @ shown("cat")) / 2
                best[e.video_id] = max(score, best.get(e.video_id, -9))
    assert {row.video_id: row.score for row in found} == pytest.approx(best)
    assert len(found) == 40  # what is disliked sinks, and the list never empties
    assert [row.score for row in found] == sorted(best.values(), reverse=True)


def test_the_same_may_be_liked_twice(words: Settings) -> None:
    twice = ask(words, [], like=["red", "red"], pool="max", k=5)
    once = ask(words, [], like=["red"], k=5)
    assert names(twice) == names(once)


def test_a_mean_is_rocchios(words: Settings) -> None:
    (best, *_) = ask(words, [], like=["red", "2:dog"], unlike=["cat"]).results
    target = 2 * (shown("red") + 2 * shown("dog")) / 2 - shown("cat")
    target /= np.linalg.norm(target)
    with Library(words.library) as library:
        (fingerprint,) = library.fingerprints()
        clips = library.video_embeddings(best.video_id, str(fingerprint), "clip")
    assert best.score == pytest.approx(max(clip.vector @ target for clip in clips), abs=1e-6)
    with pytest.raises(UsageError, match="cancel"):
        ask(words, ["dog"], unlike=["2:dog"])


def test_seeds_and_their_copies_are_never_recommended(words: Settings) -> None:
    answer = ask(words, [], like=["9.mp4"], k=60)
    assert not {"9.mp4", "9 copy.mp4"} & set(names(answer)) and len(answer.results) == 38
    assert answer.notes == ("held back: 1 near copy of what was asked with",)
    disliked = ask(words, ["red"], unlike=["9 copy.mp4"], k=60)
    assert not {"9.mp4", "9 copy.mp4"} & set(names(disliked))


def test_of_copies_the_best_one_is_kept(words: Settings) -> None:
    every = names(ask(words, ["red cat"], k=60))
    assert len(every) == 40
    answer = ask(words, ["red cat"], k=60, dedupe=True)
    kept = names(answer)
    for number in (0, 9, 18, 27):
        pair = [name for name in every if name in (f"{number}.mp4", f"{number} copy.mp4")]
        assert pair[0] in kept and pair[1] not in kept
    assert answer.notes[0].endswith("near copies of what is shown")


def test_where_nothing_fits_nothing_is_chosen(words: Settings) -> None:
    asked = {"diversity": 0.5, "dedupe": True, "max_per": (("label", 1),)}
    answer = ask(words, ["dog"], where=["label=absent"], **asked)
    assert answer.results == [] and not answer.confident


def test_at_most_so_many_of_each(words: Settings) -> None:
    answer = ask(words, ["dog"], k=9, max_per=(("label", 2),))
    labels = [row.label for row in answer.results]
    assert len(labels) == 9 and all(labels.count(label) <= 2 for label in ("a", "b", "copy"))
    assert "by --max-per label=2" in answer.notes[0]
    with Library(words.library) as library:
        library.set_fields((row.video_id, {"year": int(row.score > 0.8)}) for row in answer.results)
    years = ask(words, ["dog"], k=40, max_per=(("year", 1),))
    assert len(years.results) == 33 and "7 by --max-per year=1" in years.notes[0]
    sizes = ask(words, ["dog"], k=6, max_per=(("width", 2),)).results
    assert len(sizes) == 2  # all are as wide
    with pytest.raises(UsageError, match="no video has a field 'yaer'"):
        ask(words, ["dog"], max_per=(("yaer", 1),))
    folders = ask(words, ["dog"], k=6, max_per=(("folder", 2),)).results
    assert len({Path(row.path or "").parent for row in folders}) >= 3


def test_more_diversity_is_less_alike(words: Settings) -> None:
    def likeness(diversity: float) -> float:
        rows = ask(words, ["red cat"], k=8, diversity=diversity).results
        assert len(rows) == 8 and [row.rank for row in rows] == list(range(1, 9))
        with Library(words.library) as library:
            fingerprint = str(library.fingerprints()[0])
            vectors = [
                clip.vector
                for row in rows
                for clip in library.video_embeddings(row.video_id, fingerprint, "clip")
                if clip.start_sec == row.start_sec
            ]
        return float(np.mean([a @ b for a, b in combinations(vectors, 2)]))

    plain, some, most = (likeness(diversity) for diversity in (0.0, 0.5, 1.0))
    assert most < some < plain
    nearest = ask(words, ["red cat"], k=8)
    assert names(ask(words, ["red cat"], k=8, diversity=0.5))[0] == names(nearest)[0]


def test_a_history_is_left_out_and_may_be_liked(words: Settings) -> None:
    history = ("1.mp4", "/films/folder 2/2.mp4", f"{5:064x}", "unknown.mp4")
    answer = ask(words, ["red"], history=history, k=60)
    assert len(answer.results) == 37 and not {"1.mp4", "2.mp4", "3.mp4"} & set(names(answer))
    liked = ask(words, [], history=history, like_history=True, k=5, pool="max")
    assert len(liked.results) == 5 and liked.query == "the history"
    with pytest.raises(UsageError, match="history"):
        ask(words, [], history=("unknown.mp4",), like_history=True)


def test_a_mixture_has_its_parts_confidence(words: Settings) -> None:
    with Library(words.library) as library:
        fingerprint = str(library.fingerprints()[0])
        library.set_calibration(fingerprint, "text", Calibration(4.0, -2.0))
        library.set_calibration(fingerprint, "video", Calibration(8.0, -6.0))
    for pool, which in (("mean", "mean"), ("max", "largest")):
        answer = ask(words, ["red"], like=["dog"], unlike=["cat"], pool=pool, min_confidence=0)
        assert any(f"is the {which} of its liked parts' own" in note for note in answer.notes)
        assert all(row.confidence is not None for row in answer.results)
    mixed = ask(words, [], like=["red", "9.mp4"], pool="max", min_confidence=0).results
    alone = ask(words, ["red"], min_confidence=0).results
    assert mixed[0].confidence >= alone[0].confidence - 1e-4  # type: ignore[operator]


@pytest.mark.parametrize(
    "options",
    [{"diversity": 1.5}, {"pool": "sum"}, {"max_per": (("label", 0),)}, {"scope": "all"}, {"k": 0}],
)
def test_what_cannot_be_meant_is_refused(words: Settings, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ask(words, ["red"], **options)
