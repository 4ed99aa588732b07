"""Texts for a trained network: understood where they are about one of its labels."""

from pathlib import Path

import numpy as np
import pytest

from vidrec.calibration import Calibration
from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import Embedder
from vidrec.library import Library
from vidrec.models.checkpoint import Checkpoint
from vidrec.models.windows import Sampling
from vidrec.search.asked import asked_texts

PARAPHRASES = {
    "ApplyLipstick": ("someone putting on lipstick", "painting her lips red"),
    "Archery": ("shooting with bow and arrow", "an archer aims at the target"),
    "BabyCrawling": ("an infant on hands and knees", "a baby moving over the floor"),
    "BandMarching": ("a brass band parading in the street", "marching musicians"),
    "Billiards": ("playing pool", "snooker game"),
    "BrushingTeeth": ("cleaning teeth", "someone with a toothbrush"),
    "CliffDiving": ("jumping off a cliff into the sea", "diving from rocks"),
    "Haircut": ("a barber cutting hair", "getting a haircut"),
    "HorseRiding": ("someone riding a horse", "horseback"),
    "PlayingGuitar": ("a guitarist", "strumming a guitar"),
}
STRANGE = (
    "sci-fi dark tone", "comedy", "quarterly tax return form", "the theory of relativity",
    "existential dread", "database migration", "photosynthesis", "solar panels on a roof",
    "a volcano erupting at night", "parliament debates the budget", "a penguin", "jfkdls qpwoe",
)  # fmt: skip


@pytest.fixture
def embedder(tmp_path: Path) -> Embedder:
    """The text side of a checkpoint; its network is never asked."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    prototypes = np.eye(len(PARAPHRASES), 16).tolist()
    calibrations = {"text": Calibration(10.0, -7.0)}
    Checkpoint(
        folder, "default", 16, tuple(PARAPHRASES), prototypes, Sampling(), "0" * 64,
        calibrations,  # type: ignore[arg-type]
    ).write(b"")  # fmt: skip
    return load_embedder(
        load_settings(overrides={"embedder.name": "resnet", "resnet.checkpoint": folder})
    )


def test_paraphrases_find_their_label_and_are_understood(embedder: Embedder) -> None:
    texts = [text for pair in PARAPHRASES.values() for text in pair]
    labels = embedder.embed_texts(texts)[:, : len(PARAPHRASES)].argmax(axis=1)
    right = labels == np.repeat(np.arange(len(PARAPHRASES)), 2)
    assert right.mean() >= 0.95
    assert np.mean(np.array(embedder.understood(texts)) > 0.25) >= 0.95


def test_what_is_like_no_label_is_not_understood(embedder: Embedder) -> None:
    assert np.mean(np.array(embedder.understood(STRANGE)) < 0.25) >= 0.9
    assert embedder.understood([]) == []


def test_the_library_keeps_how_far_a_text_was_understood(
    embedder: Embedder, tmp_path: Path
) -> None:
    texts = ["playing pool", "comedy", "playing pool"]
    with Library(tmp_path / "library") as library:
        first = asked_texts(library, embedder, texts)
        assert [asked.understood for asked in first] == embedder.understood(texts)
        again = asked_texts(library, embedder, texts[1:])
        assert [asked.understood for asked in again] == [asked.understood for asked in first[1:]]


def test_a_checkpoint_says_what_its_scores_mean(embedder: Embedder) -> None:
    assert embedder.calibration("text") == Calibration(10.0, -7.0)
    assert embedder.calibration("video") is None
