"""Seconds an epoch of training takes, against the sources' pipeline written plainly.

    python -m tests.bench.train DATASET [--clips 64] [--plain-clips 16] [--compute-steps 4]

DATASET is a folder as `vidrec fetch-ucf` writes it. Each line is one epoch over the same training
clips, in seconds of wall time and of processor time (on a machine that others use, the second is
the fairer). `plain` decodes every clip with cv2.VideoCapture for every epoch, one generator, and
fits the (2+1)D ResNet in batches of 8; it is measured on `--plain-clips` and scaled. `cold` reads
the clips into the cache, `warm` finds them there. `compute` is the network alone, on one batch
that lies in memory: the share of it in a warm epoch of `reference` says what feeding costs.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidrec.models.backend import prepare_keras

BATCH, N_FRAMES, STEP, SIZE = 8, 10, 15, 224


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def frames_of(path: Path) -> np.ndarray:
    """The notebooks' way: seek to a random start, read on frame by frame, resize with padding."""
    import cv2
    import tensorflow as tf

    capture = cv2.VideoCapture(str(path))
    length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    span = 1 + (N_FRAMES - 1) * STEP
    capture.set(cv2.CAP_PROP_POS_FRAMES, random.randint(0, max(0, length - span)))
    result = []
    ok, frame = capture.read()
    while ok and len(result) < N_FRAMES:
        picture = tf.image.convert_image_dtype(frame, tf.float32)
        result.append(tf.image.resize_with_pad(picture, SIZE, SIZE).numpy()[..., ::-1])
        for _ in range(STEP):
            ok, frame = capture.read()
    result += [np.zeros((SIZE, SIZE, 3), np.float32)] * (N_FRAMES - len(result))
    return np.stack(result)


def compiled_reference(n_classes: int) -> Any:
    import keras

    from vidrec.models.r2plus1d import build_r2plus1d

    model = build_r2plus1d(n_classes)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-4), loss, metrics=["accuracy"], jit_compile=False)
    return model


def plain_epoch(model: Any, paths: Sequence[Path], labels: Sequence[int]) -> None:
    import tensorflow as tf

    def generate() -> Iterator[tuple[np.ndarray, int]]:
        pairs = list(zip(paths, labels, strict=True))
        random.shuffle(pairs)
        for path, label in pairs:
            yield frames_of(path), label

    signature = (
        tf.TensorSpec((N_FRAMES, SIZE, SIZE, 3), tf.float32),
        tf.TensorSpec((), tf.int16),
    )
    data = tf.data.Dataset.from_generator(generate, output_signature=signature)
    data = data.apply(tf.data.experimental.assert_cardinality(len(paths))).batch(BATCH)
    model.fit(data, epochs=1, shuffle=False, verbose=0)


def product_epochs(recipe: str, clips: Sequence[Any], cache: Path) -> dict[str, Any]:
    """Cold and warm reading, and the second epoch of a run (the first one traces the graph)."""
    from vidrec.models.clip_cache import build_clip_cache
    from vidrec.models.recipes import recipe_named
    from vidrec.models.training import Run, train
    from vidrec.models.windows import Sampling

    made = recipe_named(recipe, Sampling(N_FRAMES, STEP, SIZE), cache)
    paths = [clip.path for clip in clips]
    names = sorted({clip.label for clip in clips})
    reading: dict[str, tuple[float, float]] = {}
    for state in ("cold", "warm"):
        folder = cache / "bench" / recipe
        reading[state] = timed(lambda: build_clip_cache(folder, paths, made.read))  # noqa: B023
    labels = np.array([names.index(clip.label) for clip in clips])
    everything, nothing = np.arange(len(clips)), np.array([], np.int64)
    cpu: list[float] = []
    with tempfile.TemporaryDirectory() as state_folder:
        grids, _ = build_clip_cache(folder, paths, made.read)
        run = Run(
            made, grids, labels, len(names),
            everything, nothing, nothing, lambda vectors, labels: 0.0, Path(state_folder),
            epochs=3, batch_size=BATCH, learning_rate=made.learning_rate, patience=0,
        )  # fmt: skip
        train(run, on_epoch=lambda row: cpu.append(time.process_time()))
    epoch = (run.history[-1].seconds, cpu[-1] - cpu[-2])
    return {**reading, "epoch": epoch}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--clips", type=int, default=64, help="training clips of an epoch")
    parser.add_argument("--plain-clips", type=int, default=16)
    parser.add_argument("--compute-steps", type=int, default=4)
    options = parser.parse_args()
    prepare_keras(Path(tempfile.gettempdir()))
    from vidrec.datasets.folder import read_dataset

    clips = [c for c in read_dataset(options.dataset, seed=0) if c.split == "train"]
    random.Random(0).shuffle(clips)
    clips = clips[: options.clips]
    names = sorted({clip.label for clip in clips})

    def show(name: str, seconds: tuple[float, float], scale: float = 1.0) -> None:
        print(f"{name:42} {seconds[0] * scale:9.2f} {seconds[1] * scale:9.2f}", flush=True)

    print(f"{len(clips)} training clips{'':25} {'wall s':>9} {'CPU s':>9}")
    model = compiled_reference(len(names))
    few = clips[: options.plain_clips]
    batch = np.random.default_rng(0).random((BATCH, N_FRAMES, SIZE, SIZE, 3), np.float32)
    model.train_on_batch(batch, np.zeros(BATCH))
    paths, labels = [c.path for c in few], [names.index(c.label) for c in few]
    plain_epoch(model, paths[:BATCH], labels[:BATCH])  # traces the graph
    plain = timed(lambda: plain_epoch(model, paths, labels))
    show("plain: epoch", plain, len(clips) / len(few))

    def compute() -> None:
        for _ in range(options.compute_steps):
            model.train_on_batch(batch, np.zeros(BATCH))

    alone = timed(compute)
    show("reference: compute of an epoch", alone, len(clips) / BATCH / options.compute_steps)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for recipe in ("reference", "default"):
            found = product_epochs(recipe, clips, cache)
            show(f"{recipe}: reading the clips, cold", found["cold"])
            show(f"{recipe}: reading the clips, warm", found["warm"])
            show(f"{recipe}: epoch", found["epoch"])


if __name__ == "__main__":
    main()
