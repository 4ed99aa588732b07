"""Checkpoints by name, which one is used, and what is known of a data set's sides."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.embedder_kinds import tiny_checkpoint
from tests.test_pipeline import vidrec
from vidrec.config import Settings, load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.resnet import ResnetEmbedder, chosen_checkpoint
from vidrec.errors import EmbedderError
from vidrec.library import Library
from vidrec.models.checkpoint import read_checkpoint
from vidrec.types import Embedding, Video

SIDES = {"train": 6, "test": 3}
LABELS = ("Clapping", "Jumping", "Waving")


def settings(**flags: object) -> Settings:
    return load_settings(overrides={"embedder.name": "resnet", **flags})


def checkpoint(name: str, splits: dict[str, str] | None = None) -> Path:
    """A small checkpoint in the library; each name has a model of its own."""
    folder = tiny_checkpoint(load_settings().library / "checkpoints" / name)
    made = read_checkpoint(folder)
    model = made.model().read_bytes() + name.encode()
    digest = hashlib.sha256(model).hexdigest()
    replace(made, digest=digest, splits=splits or {}).write(model)
    return folder


def video(side: str, label: str, number: int) -> Video:
    name = f"{label}-{side}-{number}.avi"
    found = f"{side}{label}{number}".encode().hex().ljust(64, "0")[:64]
    return Video(found, name, Path("/data", side, label, name), label=label)


def embedded(embedder: ResnetEmbedder) -> list[Video]:
    """Videos of three labels on two sides, each near its label; test videos lie a bit apart."""
    rng = np.random.default_rng(0)
    made = []
    with Library(load_settings().library) as library:
        library.register(embedder.fingerprint)
        for side, many in SIDES.items():
            for at, label in enumerate(LABELS):
                for number in range(many):
                    one = video(side, label, number)
                    library.add_video(one)
                    vector = np.eye(embedder.dim)[at] + rng.normal(
                        0, 0.05 if side == "train" else 0.45, embedder.dim
                    )  # fmt: skip
                    unit = (vector / np.linalg.norm(vector)).astype(np.float32)
                    row = Embedding(one.id, str(embedder.fingerprint), "video", 0.0, 1.0, unit)
                    library.save_embeddings(one.id, [row], 10.0)
                    made.append(one)
    return made


def resnet(**flags: object) -> ResnetEmbedder:
    made = load_embedder(settings(**flags))
    assert isinstance(made, ResnetEmbedder)
    return made


def test_a_checkpoint_is_found_by_name_or_folder() -> None:
    first = checkpoint("actions")
    second = checkpoint("sports")
    assert chosen_checkpoint(settings()) == (second, "")  # the newest
    for named in ("actions", first):
        assert chosen_checkpoint(settings(**{"resnet.checkpoint": named}))[0] == first
    with pytest.raises(EmbedderError, match=r"no checkpoint action .*did you mean actions\?"):
        resnet(**{"resnet.checkpoint": "action"})


def test_a_new_checkpoint_never_takes_over_from_one_in_use() -> None:
    first = checkpoint("actions")
    embedded(resnet())
    checkpoint("sports")
    folder, remark = chosen_checkpoint(settings())
    assert folder == first and "--checkpoint sports" in remark
    assert "note: using the checkpoint actions" in vidrec("index", "-e", "resnet").stderr
    rows = json.loads(vidrec("status", "-f", "json").stdout)["checkpoints"]
    assert [(row["name"], row["default"], row["videos"]) for row in rows] == [
        ("sports", False, 0), ("actions", True, 27)
    ]  # fmt: skip
    said = vidrec("evaluate", "--checkpoint", "sports", code=1).stderr
    assert "`vidrec embed PATHS… --embedder resnet --checkpoint sports`" in said
    other = vidrec("evaluate", "-e", "conse", "--checkpoint", "sports", code=2).stderr
    assert "Received: --embedder conse" in other


def test_splits_are_recorded_from_folders() -> None:
    checkpoint("actions")
    embedded(resnet())
    tested = vidrec("list", "--where", "split=test", "-f", "jsonl").stdout.splitlines()
    assert len(tested) == 9 and all("-test-" in line for line in tested)


def test_test_videos_ask_for_training_videos_where_sides_are_known() -> None:
    checkpoint("actions")
    embedded(resnet())
    near = json.loads(vidrec("evaluate", "-e", "resnet", "-f", "json").stdout)["neighbours"]
    assert (near["by_split"], near["queries"], near["labelled"]) == (True, 9, 27)
    assert near["metrics"][0]["chance"] == pytest.approx(1 / 3)
    ignored = vidrec("evaluate", "-e", "resnet", "-f", "json", "--splits", "ignore")
    whole = json.loads(ignored.stdout)["neighbours"]
    assert (whole["by_split"], whole["queries"]) == (False, 27)
    assert whole["metrics"][0]["value"] > near["metrics"][0]["value"]
    assert "WARNING" not in ignored.stderr  # nothing is known of what the network learnt from


def test_figures_of_videos_that_were_trained_on_are_called_too_good() -> None:
    sides = {
        video(side, label, number).id: side
        for side, many in SIDES.items()
        for label in LABELS
        for number in range(many)
    }
    checkpoint("actions", sides)
    embedded(resnet())
    assert "WARNING" not in vidrec("evaluate", "-e", "resnet", "-f", "table").stderr
    said = vidrec("evaluate", "-e", "resnet", "-f", "table", "--splits", "ignore").stderr
    assert "WARNING: the network was trained on 18 of the 27 videos" in said


def test_a_group_on_both_sides_is_no_answer_where_groups_are_left_out() -> None:
    checkpoint("actions")
    embedded(resnet())
    with Library(load_settings().library) as library:
        for number in range(2):
            for side in SIDES:
                one = video(side, "Waving", number)
                library.add_video(replace(one, group=f"g{number}"))
    arguments = ("evaluate", "-e", "resnet", "-f", "json", "--exclude-group")
    near = json.loads(vidrec(*arguments).stdout)["neighbours"]
    assert near["by_split"] and near["labelled"] == 25
