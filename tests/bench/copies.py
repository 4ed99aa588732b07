"""How near copies of videos come to what they were made from, and what is no copy.

    python -m tests.bench.copies FOLDER [--float]

ffmpeg (on the PATH) changes each video of FOLDER in six ways and cuts it into two halves, which are
no copies; the default embedder embeds all of it. The table has the cosines of whole videos, by
which `copies_from` is chosen; ``--float`` adds one with the visual network in float32.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bench.embed import videos_of
from tests.float_network import float_network
from vidrec.config import load_settings
from vidrec.embedders.conse import ConseEmbedder
from vidrec.ingest.embed import embed
from vidrec.library import Library
from vidrec.media.probe import probe
from vidrec.models import efficientnet_lite

STEPS = (0.95, 0.97, 0.99)
CRF = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20")
COPIES: dict[str, Sequence[str]] = {
    "15 frames a second, a box drawn on": (
        "-vf", "fps=15,drawbox=x=iw*0.05:y=ih*0.05:w=iw*0.2:h=ih*0.1:color=white:t=fill", *CRF,
    ),
    "brighter, more contrast": ("-vf", "eq=brightness=0.06:contrast=1.15", *CRF),
    "cropped to 90 %": ("-vf", "crop=iw*0.9:ih*0.9", *CRF),
    "cropped to 80 %": ("-vf", "crop=iw*0.8:ih*0.8", *CRF),
    "CRF 38, fastest preset": ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "38"),
    "240 pixels wide": ("-vf", "scale=240:-2", *CRF),
}  # fmt: skip


def changed(source: Path, target: Path, how: Sequence[str], cut: Sequence[str] = ()) -> Path:
    even = ["-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2"] if "-vf" not in how else []
    subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-y", *cut, "-i", str(source), "-an", *even, *how,
         "-pix_fmt", "yuv420p", str(target)],
        check=True,
    )  # fmt: skip
    return target


def made(sources: Sequence[Path], folder: Path) -> dict[str, list[tuple[Path, Path]]]:
    """Pairs of files by what was done; `halves` are the two parts of one video."""
    pairs: dict[str, list[tuple[Path, Path]]] = {
        name: [
            (source, changed(source, folder / f"{source.stem}-{at}.mp4", how)) for source in sources
        ]
        for at, (name, how) in enumerate(COPIES.items())
    }
    halves = []
    for source in sources:
        middle = f"{probe(source).duration_sec / 2:.3f}"
        cuts = (("-t", middle), ("-ss", middle))
        one, two = (
            changed(source, folder / f"{source.stem}-half{at}.mp4", CRF, cut)
            for at, cut in enumerate(cuts)
        )
        halves.append((one, two))
    return {**pairs, "no copies: the two halves of one video": halves}


def vectors_of(files: Sequence[Path]) -> dict[Path, NDArray[np.float32]]:
    """The vector of each whole video, as `vidrec embed` leaves it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = load_settings(overrides={"library": folder / "lib", "cache": folder / "cache"})
        embed(settings, files)
        fingerprint = str(ConseEmbedder(settings).fingerprint)
        with Library(settings.library, create=False) as library:
            whole = {e.video_id: e.vector for _, e in library.embeddings(fingerprint)
                     if e.scope == "video"}  # fmt: skip
            return {video.path: whole[video.id] for video in library.videos() if video.path}


def row(name: str, cosines: NDArray[np.float64]) -> None:
    shares = " | ".join(f"{100 * (cosines >= least).mean():.0f} %" for least in STEPS)
    middle, most = np.median(cosines), cosines.max()
    print(f"| {name} | {len(cosines):,} | {middle:.3f} | {shares} | {most:.3f} |", flush=True)


def show(
    vectors: dict[Path, NDArray[np.float32]],
    pairs: dict[str, list[tuple[Path, Path]]],
    sources: Sequence[Path],
) -> None:
    print(f"| | pairs | median | {' | '.join(f'{least} or more' for least in STEPS)} | most |")
    found = {
        name: np.array([float(vectors[a] @ vectors[b]) for a, b in both])
        for name, both in pairs.items()
    }
    for kind, cosines in found.items():
        row(kind, cosines)
    row("all copies", np.concatenate([found[name] for name in COPIES]))
    own = np.stack([vectors[path] for path in sources])
    row("no copies: different videos", (own @ own.T)[np.triu_indices(len(own), 1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--float", action="store_true")
    options = parser.parse_args()
    sources = [path.resolve() for path in videos_of([options.folder])]
    with tempfile.TemporaryDirectory() as name:
        pairs = made(sources, Path(name).resolve())
        files = sorted({path for both in pairs.values() for pair in both for path in pair})
        show(vectors_of(files), pairs, sources)
        if options.float:
            efficientnet_lite.build_graph = lambda weights: float_network()
            show(vectors_of(files), pairs, sources)


if __name__ == "__main__":
    main()
