"""Tone in the vectors of the default embedder: what clips have of it, what texts say of it.

A clip has a place on five axes (``vidrec.media.tone``), reckoned against a reference. A text has
weights on those that its words speak of, and zeros where they speak of none.

What a text speaks of is decided by the text encoder: how close it comes to the phrases of a table.
Opposites lie close together in a text space, so of two opposite meanings only the closer counts.
Looks and pace are rows of their own. Feelings stand in Russell's circle of pleasure and arousal
(1980, "A circumplex model of affect"), at its eight concepts. Pleasure is light and colour by the
weights of Valdez and Mehrabian (1994, "Effects of color on emotions": 0.69 brightness + 0.22
saturation), arousal is motion (Hanjalic and Xu 2005, "Affective video content representation and
modeling"). Feelings also come with things that call them up, of kinds that collections of pictures
for the study of emotion hold, as the International Affective Picture System does (Lang, Bradley
and Cuthbert). Which of them stand here was chosen by us, not taken from its ratings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vidrec.records import dataclass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrec.media.tone import Tone

    Floats = NDArray[Any]

AXES = ("light", "colour", "warmth", "motion", "drawn")
DIM = len(AXES) + 1
# Mean and deviation over 75 clips of 64 web videos of 8 categories (a captioned research set).
REFERENCE = {
    "light": (0.432, 0.110),
    "colour": (37.5, 20.9),
    "warmth": (9.5, 48.5),
    "motion": (1.41, 0.98),
    "drawn": (0.328, 0.139),
}
FARTHEST = 2.0  # deviations: where an axis ends, approached by a hyperbolic tangent
TOLD = 0.75  # deviations from which on a word is said of a clip
WORDS = {
    "light": ("dark", "bright"),
    "colour": ("muted", "colourful"),
    "warmth": ("cold", "warm"),
    "motion": ("still", "lively"),
    "drawn": ("", "flat"),  # what drawings share with titles, screens and black grounds
}
# A text speaks of a meaning if its cosine with a phrase is above CLOSE, fully from SURE on. The
# captions of the reference, which are about things, all stay below CLOSE.
CLOSE, SURE = 0.4, 0.6


@dataclass(frozen=True, slots=True)
class Meaning:
    """What phrases mean: a direction on the axes, and things that go with it."""

    phrases: Sequence[str]
    axes: Mapping[str, float]
    things: Sequence[str] = ()

    @property
    def direction(self) -> Floats:
        """``(5,)``."""
        return np.array([self.axes.get(axis, 0.0) for axis in AXES])


def _feeling(degrees: float, phrases: Sequence[str], things: Sequence[str]) -> Meaning:
    """A feeling by its angle in the circumplex: 0 is pleasure, 90 arousal."""
    pleasure, arousal = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    axes = {"light": 0.69 * pleasure, "colour": 0.22 * pleasure, "motion": arousal}
    return Meaning(phrases, {axis: round(weight, 3) for axis, weight in axes.items()}, things)


MEANINGS = (
    Meaning(
        ("dark", "dimly lit", "low-key lighting", "dim light and shadows", "night", "film noir"),
        {"light": -1},
    ),
    Meaning(
        ("bright", "brightly lit", "high-key lighting", "bright light", "daylight", "overexposed"),
        {"light": 1},
    ),
    Meaning(("colourful", "vivid colours", "vibrant saturated colours", "neon"), {"colour": 1}),
    Meaning(
        ("muted colours", "desaturated colours", "black and white", "grey", "monochrome", "pale"),
        {"colour": -1},
    ),
    Meaning(("warm colours", "warm golden light", "warm", "cosy", "cozy"), {"warmth": 1}),
    Meaning(("cold colours", "cool blue tones", "cold", "icy"), {"warmth": -1}),
    Meaning(
        ("fast", "rapid motion", "fast-paced action", "frantic", "hectic", "action movie"),
        {"motion": 1},
    ),
    Meaning(
        ("slow", "slow-paced", "unhurried", "hardly any movement", "still", "slow motion"),
        {"motion": -1},
    ),
    Meaning(("animation", "cartoon", "computer graphics", "drawing"), {"drawn": 1}),
    Meaning(("cinematic", "film", "documentary", "drama"), {}),
    _feeling(
        0, ("cheerful", "happy and feel-good", "funny", "joyful", "uplifting", "comedy"),
        ("smiling people", "children playing", "a puppy", "a birthday cake", "flowers"),
    ),
    _feeling(
        45, ("energetic", "exciting", "high energy, adrenaline", "lively"),
        ("sports", "skiing", "a surfer on a wave", "a motorcycle race", "a roller coaster"),
    ),
    _feeling(90, ("intense", "dramatic"), ("a volcano", "a thunderstorm", "fireworks")),
    _feeling(
        135,
        ("tense", "scary", "dangerous", "stressful", "mysterious", "thriller", "horror movie"),
        ("a snake", "a spider", "a gun", "a knife", "a fire", "a shark"),
    ),
    _feeling(
        225, ("gloomy", "sad", "bleak", "melancholy", "lonely", "serious and sober", "boring"),
        ("a cemetery", "a hospital", "ruins", "rain on a window"),
    ),
    _feeling(270, ("sleepy", "dreamy"), ("mist", "clouds", "the moon", "the sea at dusk")),
    _feeling(
        315, ("calm", "relaxing", "peaceful", "quiet", "romantic"),
        ("a lake", "a forest", "a flower meadow", "clouds", "a quiet beach"),
    ),
)  # fmt: skip
PHRASES = tuple(phrase for meaning in MEANINGS for phrase in meaning.phrases)
THINGS = tuple(thing for meaning in MEANINGS for thing in meaning.things)


def coordinates(tone: Tone) -> Floats:
    """Return ``(5,)``: where a clip stands on each axis, between -2 and 2; 0 is as usual."""
    found = []
    for axis in AXES:
        value, (mean, deviation) = getattr(tone, axis), REFERENCE[axis]
        found.append(0.0 if value is None else (value - mean) / deviation)
    bounded: Floats = FARTHEST * np.tanh(np.array(found) / FARTHEST)
    return bounded


def tone_part(tone: Tone | None) -> Floats:
    """Return ``(6,)`` of unit length: the coordinates, and what is left of the length.

    A text has a zero in the last place, so that no clip is ranked by how much tone it has.
    """
    part = np.zeros(DIM)
    if tone is not None:
        part[:-1] = coordinates(tone) / (FARTHEST * math.sqrt(len(AXES)))
    part[-1] = math.sqrt(1 - float(part @ part))
    return part


def coordinates_of(parts: Floats) -> Floats:
    """Return the ``(n, 5)`` coordinates of ``(n, 6)`` parts, which may have any length above 0."""
    scales = FARTHEST * math.sqrt(len(AXES)) / np.linalg.norm(parts, axis=1)
    found: Floats = parts[:, :-1] * scales[:, None]
    return found


def tone_words(coordinates: Sequence[float]) -> list[str]:
    """Say in words where a clip differs from the usual: "dark", "still"."""
    words = [WORDS[a][x > 0] for a, x in zip(AXES, coordinates, strict=True) if abs(x) >= TOLD]
    return [word for word in words if word]


class Phrasebook:
    """What texts say of tone."""

    def __init__(self, phrases: Floats, things: Floats) -> None:
        """Take the ``(p, d)`` and ``(t, d)`` unit vectors of ``PHRASES`` and ``THINGS``."""
        self._phrases = phrases
        self._starts = np.cumsum([0, *(len(meaning.phrases) for meaning in MEANINGS[:-1])])
        self._directions = np.stack([meaning.direction for meaning in MEANINGS])  # m 5
        lengths = np.linalg.norm(self._directions, axis=1)
        alike = self._directions @ self._directions.T / np.maximum(np.outer(lengths, lengths), 1e-9)
        self._opposite = alike < -0.95  # m m
        ends = np.cumsum([len(meaning.things) for meaning in MEANINGS])
        means = [
            things[end - len(meaning.things) : end].mean(axis=0)
            if meaning.things
            else np.zeros(things.shape[1])
            for meaning, end in zip(MEANINGS, ends, strict=True)
        ]
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        self._things = np.stack(means) / np.maximum(lengths, 1e-9)  # m d

    def closeness(self, texts: Floats) -> Floats:
        """Return ``(n, m)``: the cosine of each text with the closest phrase of each meaning."""
        close: Floats = np.maximum.reduceat(texts @ self._phrases.T, self._starts, axis=1)
        return close

    def read(self, texts: Floats) -> tuple[Floats, Floats]:
        """Return what texts say: ``(n, 5)`` weights on the axes and ``(n, d)`` things to add.

        ``texts`` are ``(n, d)`` unit vectors. Both are zero for a text that speaks of no tone.
        """
        close = self.closeness(texts)
        sure = np.clip((close.max(axis=1, keepdims=True) - CLOSE) / (SURE - CLOSE), 0, 1)
        beaten = (close[:, None, :] > close[:, :, None]) & self._opposite
        shares = np.where(beaten.any(axis=2), 0, np.maximum(close - CLOSE, 0)) ** 2
        shares = sure * shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
        return shares @ self._directions, shares @ self._things
