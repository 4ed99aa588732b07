"""How fast a trained checkpoint embeds, against the sources' loop, and which batch serves best.

This is `python -m tests.bench.embed FOLDER --resnet CHECKPOINT`.

`plain` is what the notebooks do: read every frame of a clip with cv2.VideoCapture, resize with
padding, keep 10 frames, `model.predict` in batches of 8 clips with Keras (of a `default` checkpoint
the (2+1)D ResNet stands in, as its `model.keras` holds the trained part only). `vidrec` is the
embedder, two clips at a time. Then the network alone, by ONNX Runtime and by Keras, in seconds a
window for several batch sizes. Start-up is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np

from vidrec.config import load_settings
from vidrec.embedders import load_embedder
from vidrec.embedders.base import EmbedContext
from vidrec.models.backend import prepare_keras
from vidrec.models.checkpoint import Checkpoint, read_checkpoint
from vidrec.models.serving import open_session
from vidrec.types import Video

N_FRAMES, STEP, SIZE, BATCH = 10, 15, 224, 8


def every_frame(path: Path) -> np.ndarray:
    import cv2

    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        h, w = frame.shape[:2]
        scale = SIZE / max(h, w)
        small = cv2.resize(frame, (round(w * scale), round(h * scale)))
        padded = np.zeros((SIZE, SIZE, 3), np.uint8)
        top, left = (SIZE - small.shape[0]) // 2, (SIZE - small.shape[1]) // 2
        padded[top : top + small.shape[0], left : left + small.shape[1]] = small[..., ::-1]
        frames.append(padded)
    chosen = frames[: (N_FRAMES - 1) * STEP + 1 : STEP]
    chosen += [np.zeros_like(frames[0])] * (N_FRAMES - len(chosen))
    return np.stack(chosen).astype(np.float32) / 255


def plain(model: Any, paths: list[Path]) -> None:
    for start in range(0, len(paths), BATCH):
        model.predict(np.stack([every_frame(p) for p in paths[start : start + BATCH]]), verbose=0)


def best_of(work: Callable[[], object], rounds: int = 3) -> float:
    """Wall seconds of the best round."""
    return best_of_both(work, rounds)[0]


def best_of_both(work: Callable[[], object], rounds: int = 3) -> tuple[float, float]:
    """Wall and processor seconds, each of its best round."""
    wall, cpu = [], []
    for _ in range(rounds):
        started, spent = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - spent)
    return min(wall), min(cpu)


def compare(folder: Path, paths: list[Path]) -> None:
    """Print how fast the checkpoint in `folder` embeds these videos."""
    checkpoint = read_checkpoint(folder)
    model = sources_model(checkpoint)
    model.predict(np.zeros((BATCH, N_FRAMES, SIZE, SIZE, 3)), verbose=0)
    slow, slow_cpu = best_of_both(lambda: plain(model, paths))
    per_clip = slow_cpu / len(paths)
    print(f"plain:  {len(paths) / slow:6.2f} clips/s, {per_clip:.3f} CPU s a clip", flush=True)
    for windows in (1, 2):
        flags = {"embedder.name": "resnet", "resnet.checkpoint": folder}
        settings = load_settings(overrides={**flags, "resnet.windows": windows})
        embedder = load_embedder(settings)
        videos = [Video(str(i), path.name, path) for i, path in enumerate(paths)]

        def run() -> None:
            context = EmbedContext()
            with embedder.run(context) as embed_one, ThreadPoolExecutor(2) as pool:  # noqa: B023
                for outcome in pool.map(embed_one, videos):  # noqa: B023
                    assert outcome is not None and outcome.error is None

        run()
        fast, fast_cpu = best_of_both(run)
        print(
            f"vidrec: {len(paths) / fast:6.2f} clips/s, {fast_cpu / len(paths):.3f} CPU s a clip, "
            f"{windows} window(s), {slow / fast:.2f} x plain",
            flush=True,
        )
    by_batch_size(checkpoint, model)


def sources_model(checkpoint: Checkpoint) -> Any:
    """The (2+1)D ResNet as an embedder in Keras."""
    prepare_keras(Path(gettempdir()))
    import keras

    from vidrec.models.r2plus1d import build_r2plus1d, embedding_model

    if checkpoint.recipe == "reference":
        saved = checkpoint.folder / "model.keras"
        return embedding_model(keras.saving.load_model(saved, compile=False))
    return embedding_model(build_r2plus1d(10))


def by_batch_size(checkpoint: Checkpoint, model: Any) -> None:
    rng = np.random.default_rng(0)
    for batch in (1, 2, 4, 8):
        frames = rng.integers(0, 255, (batch, N_FRAMES, SIZE, SIZE, 3), np.uint8)
        scaled = frames.astype(np.float32) / 255
        line = [f"batch {batch}:"]
        for threads in (1, 2):
            session = open_session(checkpoint.model(), threads=threads)
            seconds = best_of(lambda: session.run(None, {"frames": frames}))  # noqa: B023
            line.append(f"ONNX Runtime, {threads} thread(s) {seconds / batch * 1000:6.0f} ms")
        seconds = best_of(lambda: model.predict_on_batch(scaled))  # noqa: B023
        line.append(f"Keras (2+1)D {seconds / batch * 1000:6.0f} ms a window")
        print(" ".join(line), flush=True)
