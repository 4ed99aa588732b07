"""How fast videos are embedded, against a plain loop and against decoding alone.

    python -m tests.bench.embed [FOLDER] [--rounds 3] [--film MINUTES] [--resnet CHECKPOINT]

Every side runs as a fresh process over the same files, in turn, round by round; the table gives
medians of whole processes, the ratio to the plain loop, and the seconds of processor time with
their ratio, which other work on the machine changes least. ``plain`` reads every frame with
cv2.VideoCapture, keeps the evenly spaced ones and runs the same network as it was trained, in
float32, with ONNX Runtime's defaults, one video at a time. ``decode`` only decodes: two
processes share the files. With ``--film`` one long film made of the videos is measured instead,
with ``--resnet`` the first 24 of them and a trained checkpoint (see ``embed_resnet``). Without
FOLDER it makes clips of its own from photographs.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

FRAMES = 8
CLIP_SECONDS = 10.0
FILM_SIZE = (640, 360)
RESNET_FILES = 24
PLAIN_MODEL = "plain.onnx"


def plain(files: Sequence[Path], cache: Path) -> None:
    """What one writes in an afternoon: read all, keep some, one video after the other."""
    import cv2
    import numpy as np
    import onnxruntime

    from vidrec.models.conse import Conse

    recipe = Conse(cache)
    session = onnxruntime.InferenceSession(str(cache / PLAIN_MODEL))
    for path in files:
        capture = cv2.VideoCapture(str(path))
        fps = capture.get(cv2.CAP_PROP_FPS)
        per_clip = max(1, round(fps * CLIP_SECONDS))
        frames = []
        while True:
            more, frame = capture.read()
            if more:
                frames.append(cv2.resize(frame, (224, 224), interpolation=cv2.INTER_AREA))
            if frames and (not more or len(frames) == per_clip):
                chosen = [frames[int((i + 0.5) * len(frames) / FRAMES)] for i in range(FRAMES)]
                batch = np.stack(chosen)[..., ::-1]
                logits, features = session.run(["logits", "features"], {"frames": batch.copy()})
                recipe.frames_to_vector(logits, features)
                frames = []
            if not more:
                break


def vidrec(files: Sequence[Path], cache: Path) -> None:
    """The product, from nothing to a library on disk."""
    from vidrec.config import load_settings
    from vidrec.ingest.embed import embed

    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(overrides={"library": Path(folder), "cache": cache})
        report = embed(settings, files)
        assert report.videos == len(files), report


def decode_all(files: Sequence[Path], cache: Path) -> None:
    """Two processes that decode every frame and do nothing else."""
    halves = [files[0::2], files[1::2]]
    running = [
        subprocess.Popen([sys.executable, "-m", __spec__.name, "--role", "decode-half",
                          "--cache", str(cache), *map(str, half)])
        for half in halves if half
    ]  # fmt: skip
    assert all(process.wait() == 0 for process in running)


def decode_half(files: Sequence[Path], cache: Path) -> None:
    import av

    for path in files:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            for _ in container.decode(stream):
                pass


ROLES: dict[str, Callable[[Sequence[Path], Path], None]] = {
    "plain": plain,
    "vidrec": vidrec,
    "decode": decode_all,
    "decode-half": decode_half,
}


def make_film(files: Sequence[Path], minutes: float, target: Path) -> None:
    """Join the videos, over and over, to a film in H.264 with x264's usual keyframes."""
    import av

    width, height = FILM_SIZE
    with av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        count, wanted = 0, int(minutes * 60 * 25)
        while count < wanted:
            for path in files:
                with av.open(str(path)) as source:
                    rate = float(source.streams.video[0].average_rate or 25)
                    for number, frame in enumerate(source.decode(video=0)):
                        if count >= wanted or int(number * 25 / rate) == int(
                            (number - 1) * 25 / rate
                        ):
                            continue
                        picture = frame.reformat(width, height, "yuv420p")
                        picture.pts = count
                        picture.time_base = Fraction(1, 25)
                        count += 1
                        out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


def own_clips(folder: Path) -> list[Path]:
    from tests.clips import PHOTOGRAPHS, photograph, write_clip

    return [
        write_clip(folder / f"{name}-{n}.mp4", photograph(name), seconds=8, fps=25, size=FILM_SIZE)
        for name in PHOTOGRAPHS
        for n in range(4)
    ]


def prepare(cache: Path, some: Sequence[Path]) -> None:
    """Make the models, which is not measured."""
    from tests.float_network import float_network

    vidrec(some, cache)
    (cache / PLAIN_MODEL).write_bytes(float_network().SerializeToString())


Taken = tuple[float, float]  # seconds by the clock, seconds of processor time


def processor_sec() -> float:
    """What children have used that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(files: Sequence[Path], cache: Path, rounds: int) -> dict[str, list[Taken]]:
    seconds: dict[str, list[Taken]] = {"plain": [], "vidrec": [], "decode": []}
    for _ in range(rounds):
        for role, taken in seconds.items():
            started, used = time.perf_counter(), processor_sec()
            subprocess.run(
                [sys.executable, "-m", __spec__.name, "--role", role, "--cache", str(cache),
                 *map(str, files)],
                check=True,
            )  # fmt: skip
            taken.append((time.perf_counter() - started, processor_sec() - used))
    return seconds


def show(seconds: dict[str, list[Taken]], count: int) -> None:
    middle = {role: [statistics.median(side) for side in zip(*taken, strict=True)]
              for role, taken in seconds.items()}  # fmt: skip
    base = middle["plain"]
    print(f"{'':10} {'seconds':>8} {'min':>8} {'max':>8} {'videos/s':>9} {'plain/this':>11} "
          f"{'processor':>10} {'plain/this':>11}")  # fmt: skip
    for role, taken in seconds.items():
        clock, used = middle[role]
        print(
            f"{role:10} {clock:8.2f} {min(taken)[0]:8.2f} {max(taken)[0]:8.2f} "
            f"{count / clock:9.2f} {base[0] / clock:11.2f} {used:10.2f} {base[1] / used:11.2f}"
        )
    for at, what in enumerate(("by the clock", "by processor time")):
        share = middle["decode"][at] / middle["vidrec"][at]
        print(f"speed against decoding alone in two processes, {what}: {share:.2f}")


def videos_of(paths: Sequence[Path]) -> Iterator[Path]:
    from vidrec.media.extensions import VIDEO_EXTENSIONS

    for path in paths:
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in VIDEO_EXTENSIONS)
        yield from found or [path]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--film", type=float, default=0.0, metavar="MINUTES")
    parser.add_argument("--resnet", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--role", choices=ROLES, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        ROLES[options.role](options.files, options.cache)
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = list(videos_of(options.files)) or own_clips(folder)
        if options.resnet:
            from tests.bench.embed_resnet import compare

            compare(options.resnet, files[:RESNET_FILES])
            return
        if options.film:
            make_film(files, options.film, folder / "film.mp4")
            files = [folder / "film.mp4"]
        prepare(folder / "cache", files[:1])
        show(measure(files, folder / "cache", options.rounds), len(files))


if __name__ == "__main__":
    main()
