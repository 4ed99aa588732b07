"""Tone: what pictures say of themselves, and what words say of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests import videos
from vidrec.config import load_settings
from vidrec.embedders.conse import ConseEmbedder
from vidrec.embedders.context import EmbedContext
from vidrec.media.sampling import iter_clip_frames
from vidrec.media.tone import LAG_SEC, Tone, measure
from vidrec.models import conse
from vidrec.models.conse import SEEN_DIM, Conse
from vidrec.models.tone import (
    AXES,
    MEANINGS,
    PHRASES,
    REFERENCE,
    THINGS,
    coordinates,
    coordinates_of,
    tone_part,
    tone_words,
)
from vidrec.types import Video

SIZE = (224, 224)
USUAL = Tone(**{axis: mean for axis, (mean, _) in REFERENCE.items()})


def noise(seed: int = 0, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A picture of coloured blots, ``(h, w, 3)``."""
    blots = np.random.default_rng(seed).integers(40, 216, (14, 14, 3), np.uint8)
    return np.asarray(Image.fromarray(blots).resize(size[::-1], Image.Resampling.BICUBIC))


def tone_of(picture: NDArray[np.uint8], later: NDArray[np.uint8] | None = None) -> Tone:
    return measure(picture[None], later={0: later} if later is not None else None)


def test_what_each_quantity_tells() -> None:
    picture = noise().astype(np.float32)
    usual = tone_of(noise())
    darker = tone_of((picture * 0.5).astype(np.uint8))
    grey = tone_of(np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8))
    warm = tone_of(np.clip(picture + np.array([30, 0, -30]), 0, 255).astype(np.uint8))
    cold = tone_of(np.clip(picture + np.array([-30, 0, 30]), 0, 255).astype(np.uint8))
    drawn = tone_of((picture // 128 * 127 + 64).astype(np.uint8))
    assert darker.light == pytest.approx(usual.light / 2, abs=0.01)
    assert grey.colour == pytest.approx(0, abs=0.01) and usual.colour > 30
    assert cold.warmth < usual.warmth - 60 < usual.warmth < warm.warmth - 60
    assert drawn.drawn > 0.5 > 0.1 > usual.drawn
    assert usual.motion is None


def test_colourfulness_is_that_of_hasler_and_susstrunk() -> None:
    """A half red, half blue picture, by hand."""
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[:112, :, 0], picture[112:, :, 2] = 200, 100
    red_green, yellow_blue = np.array([200, 0]), np.array([100, -100])
    spread = np.hypot(red_green.std(), yellow_blue.std())
    mean = np.hypot(red_green.mean(), yellow_blue.mean())
    assert tone_of(picture).colour == pytest.approx(spread + 0.3 * mean, abs=0.1)


def test_motion_is_of_what_moves_not_of_the_camera() -> None:
    wide = noise(size=(224, 300))
    shown, panned = wide[:, :224], wide[:, 16:240]
    crossed = shown.copy()
    crossed[80:140, 80:140] = 255 - crossed[80:140, 80:140]
    still, pan, subject, cut = (
        tone_of(shown, later).motion for later in (shown, panned, crossed, noise(7))
    )
    assert still is not None and pan is not None and subject is not None and cut is not None
    assert still < pan + 0.01 < subject < cut
    assert still == pytest.approx(np.log(0.2))


@pytest.mark.parametrize("size", [(120, 160), (480, 640), (2160, 3840)])
def test_size_changes_nothing(size: tuple[int, int]) -> None:
    usual = tone_of(noise(), noise(1))
    big = [
        np.asarray(Image.fromarray(noise(seed)).resize(size[::-1], Image.Resampling.BICUBIC))
        for seed in (0, 1)
    ]
    small = [np.asarray(Image.fromarray(p).resize(SIZE, Image.Resampling.BOX)) for p in big]
    np.testing.assert_allclose(coordinates(tone_of(*small)), coordinates(usual), atol=0.06)


@pytest.mark.parametrize("axis", [0, 1])
def test_bars_are_left_out(axis: int) -> None:
    narrow = [
        np.asarray(Image.fromarray(noise(seed)).resize((224, 160) if axis == 0 else (160, 224)))
        for seed in (0, 1)
    ]
    bars = [(32, 32) if i == axis else (0, 0) for i in range(3)]
    barred = [np.pad(picture, bars) for picture in narrow]
    bare = [np.asarray(Image.fromarray(p).resize(SIZE)) for p in narrow]
    np.testing.assert_allclose(coordinates(tone_of(*barred)), coordinates(tone_of(*bare)), atol=0.1)


def test_black_and_tiny_pictures_have_a_tone() -> None:
    for picture in (np.zeros((*SIZE, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)):
        tone = tone_of(picture, picture)
        assert np.isfinite(coordinates(tone)).all() and tone.light == 0


def test_frames_come_with_what_follows_them(tmp_path: Path) -> None:
    uncut = {"sc_threshold": "0"}
    path = videos.write_video(tmp_path / "a.mp4", 60, fps=25, keyframe_every=99, options=uncut)
    clips = list(iter_clip_frames(path, 1.0, 5, (32, 32), lag_sec=LAG_SEC))
    plain = list(iter_clip_frames(path, 1.0, 5, (32, 32)))
    for clip, same in zip(clips, plain, strict=True):
        np.testing.assert_array_equal(clip.frames, same.frames)
        assert (clip.times, clip.counts) == (same.times, same.counts)
        assert not same.later
    assert [sorted(clip.later) for clip in clips] == [[0, 2, 4], [1, 3]]
    for clip in clips:
        for place, picture in clip.later.items():
            shown, later = (videos.frame_number(frame) for frame in (clip.frames[place], picture))
            assert later - shown == 2  # of 25 a second


def test_a_part_is_of_unit_length_and_says_what_it_was_made_of() -> None:
    tone = replace(USUAL, light=0.1, motion=3.0)
    part = tone_part(tone)
    assert np.linalg.norm(part) == pytest.approx(1)
    (found,) = coordinates_of(part[None] * 0.3).tolist()
    assert found == pytest.approx(coordinates(tone).tolist())
    assert tone_words(found) == ["dark", "lively"]
    np.testing.assert_allclose(tone_part(USUAL), tone_part(None), atol=1e-9)
    assert coordinates(replace(USUAL, motion=None))[AXES.index("motion")] == 0


@pytest.fixture(scope="module")
def recipe(prepared_models: Path) -> Conse:
    return Conse(prepared_models)


def weights(recipe: Conse, text: str) -> dict[str, float]:
    (vector,) = recipe.texts_to_vectors([text])
    return dict(zip(AXES, vector[SEEN_DIM:-1].tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "axis", "sign"),
    [
        ("pitch black", "light", -1), ("at night", "light", -1), ("sunlit", "light", 1),
        ("well lit", "light", 1), ("saturated", "colour", 1), ("colorful", "colour", 1),
        ("subdued tones", "colour", -1), ("gray", "colour", -1), ("autumn colours", "warmth", 1),
        ("bluish", "warmth", -1), ("frosty", "warmth", -1), ("high speed", "motion", 1),
        ("quick cuts", "motion", 1), ("motionless", "motion", -1), ("soothing", "motion", -1),
        ("thrilling", "motion", 1), ("anime", "drawn", 1), ("merry", "light", 1),
        ("ominous", "light", -1), ("miserable", "light", -1), ("sci-fi dark tone", "light", -1),
        ("dark cinematic lighting", "light", -1), ("horror", "light", -1),
    ],
)  # fmt: skip
def test_words_that_stand_in_no_table(recipe: Conse, text: str, axis: str, sign: int) -> None:
    assert text not in PHRASES
    assert weights(recipe, text)[axis] * sign > 0.1


@pytest.mark.parametrize(
    "text",
    ["a person is making a clay model", "a dog running on the beach", "a red car",
     "two men playing chess in a park", "indoors", "a man in a suit"],
)  # fmt: skip
def test_a_text_about_things_has_no_tone(recipe: Conse, text: str) -> None:
    (vector,) = recipe.texts_to_vectors([text])
    assert not vector[SEEN_DIM:].any()
    np.testing.assert_allclose(vector[: conse.text.TEXT_DIM], *recipe.about([text]), atol=1e-6)


def test_of_opposites_the_closer_counts(recipe: Conse) -> None:
    for first, second in (("dark", "bright"), ("fast", "slow"), ("cold", "warm")):
        one, other = (np.array(list(weights(recipe, t).values())) for t in (first, second))
        assert one @ other < -0.9 * np.linalg.norm(one) * np.linalg.norm(other)


def test_the_shipped_sayings_are_those_of_the_table(recipe: Conse) -> None:
    shipped = np.fromfile(conse.SAYINGS, "<f4").reshape(-1, conse.text.TEXT_DIM)
    assert hashlib.sha256(shipped.tobytes()).hexdigest() == conse.SAYINGS_SHA256
    sayings = [*PHRASES, *THINGS]
    assert len(shipped) == len(sayings)
    some = [0, len(PHRASES) - 1, len(PHRASES), len(sayings) - 1]
    np.testing.assert_allclose(shipped[some], recipe.about([sayings[i] for i in some]), atol=1e-4)
    assert all(set(meaning.axes) <= set(AXES) for meaning in MEANINGS)


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        (["a red bus", "dog", "chess", "sci-fi dark tone", "how-to tutorial", "cosy"], True),
        (["a person is making a green clay model of a monster using different tools"], True),
        (["ein Hund läuft am Strand", "собака бежит по пляжу", "夜の街"], False),
        (["un chien court sur la plage", "Angela Merkel", "Zendaya", "xqzwv"], False),
        (["", "?!", "1234"], False),
    ],
)  # fmt: skip
def test_what_is_no_english_is_not_understood(recipe: Conse, texts: list[str], known: bool) -> None:
    assert [sure >= 0.5 for sure in recipe.understood(texts)] == [known] * len(texts)
    assert recipe.understood(texts) == pytest.approx(
        [sure for text in texts for sure in recipe.understood([text])], abs=1e-5
    )


def test_a_tone_is_found(tmp_path: Path) -> None:
    """The same blots, in four tones, as videos."""
    embedder = ConseEmbedder(load_settings())
    picture = noise(size=(96, 128)).astype(np.float32)
    looks = {
        "dark": picture * 0.3,
        "bright": 255 - (255 - picture) * 0.4,
        "warm": picture + np.array([40, 0, -40]),
        "cold": picture + np.array([-40, 0, 40]),
    }
    found = []
    for name, look in looks.items():
        frames = [np.clip(look, 0, 255).astype(np.uint8)] * 10
        path = videos.write_video(tmp_path / f"{name}.mp4", frames, fps=10)
        video = Video(id=name, filename=path.name, path=path)
        (outcome,) = embedder.embed_videos([video], EmbedContext())
        assert outcome.error is None
        found.append(outcome.embeddings[0].vector)
        assert name in embedder.describe(outcome.embeddings[-1].vector)
    texts = ["dark and gloomy", "bright", "warm golden colours", "cold blue tones"]
    scores = embedder.embed_texts(texts) @ np.stack(found).T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert embedder.explain_text("dark") == "dark 1.0"
    assert embedder.explain_text("a dog") == ""
