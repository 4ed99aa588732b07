"""Short clips rendered from the photographs in scikit-image's wheel, for `vidrec demo`.

A camera moves over a photograph (pan, zoom) or cuts between several. Nothing is downloaded: only
pictures that lie in the wheel itself are used, read as files, without importing scikit-image.

Their licences, as scikit-image states them beside its loaders: astronaut and deep field (NASA) and
rocket (SpaceX) are in the public domain; coins (Brooklyn Museum) have no known restriction; camera,
cat, coffee, brick, grass and gravel are CC0; for the moon and for the motorcycle (Middlebury stereo
benchmark, 2014) none is named. vidrec ships none of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import av
import cv2
import numpy as np
from av.codec.codec import UnknownCodecError

from vidrec.errors import DatasetError
from vidrec.files import writing

if TYPE_CHECKING:
    from vidrec.types import Frames

WIDTH, HEIGHT, FPS = 480, 270, 25


# Where the camera looks: x and y of the centre, and the width of what it sees. All three are shares
# of the largest 16:9 cut-out's play: (0, 0) is the upper left corner, (1, 1) the lower right; a
# width of 1 is all that fits.
View: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Shot:
    """A camera move over one photograph."""

    photo: str
    seconds: float
    start: View
    end: View


@dataclass(frozen=True, slots=True)
class DemoClip:
    """A clip: its path below the folder (the folder's name is its label) and its shots."""

    path: str
    shots: tuple[Shot, ...]


CLIPS = (
    DemoClip("Animals/cat-eyes.mp4", (Shot("chelsea.png", 5, (0.5, 0.3, 1), (0.4, 0.2, 0.6)),)),
    DemoClip("Animals/cat-pan.mp4", (Shot("chelsea.png", 4, (0, 0.2, 0.7), (1, 0.6, 0.7)),)),
    DemoClip("Animals/cat-nose.mp4", (Shot("chelsea.png", 5, (1, 1, 0.75), (0.7, 0.5, 1)),)),
    DemoClip("Drinks/coffee-cup.mp4", (Shot("coffee.png", 5, (0.4, 0.3, 0.7), (0.5, 0.5, 1)),)),
    DemoClip("Drinks/coffee-pan.mp4", (Shot("coffee.png", 4, (1, 0.8, 0.8), (0.2, 0.2, 0.8)),)),
    DemoClip(
        "People/astronaut-portrait.mp4",
        (Shot("astronaut.png", 5, (0.5, 0, 0.9), (0.4, 0, 0.65)),),
    ),
    DemoClip("People/astronaut-suit.mp4", (Shot("astronaut.png", 5, (0.5, 0, 1), (0.5, 1, 1)),)),
    DemoClip("People/photographer.mp4", (Shot("camera.png", 6, (0.3, 0.2, 1), (0.4, 0.2, 0.6)),)),
    DemoClip("Space/rocket-launch-pad.mp4", (Shot("rocket.jpg", 5, (0, 1, 0.8), (1, 0.5, 0.8)),)),
    DemoClip("Space/rocket-tower.mp4", (Shot("rocket.jpg", 4, (0.5, 1, 0.5), (0.5, 0.3, 0.6)),)),
    DemoClip("Space/moon-flight.mp4", (Shot("moon.png", 6, (0, 0, 0.7), (1, 1, 0.7)),)),
    DemoClip(
        "Space/galaxies.mp4",
        (Shot("hubble_deep_field.jpg", 6, (0.5, 0.5, 1), (0.7, 0.6, 0.5)),),
    ),
    DemoClip(
        "Vehicles/motorcycle-garage.mp4",
        (Shot("motorcycle_left.png", 5, (0, 0.5, 0.75), (1, 0.7, 0.75)),),
    ),
    DemoClip(
        "Vehicles/motorcycle-zoom.mp4",
        (Shot("motorcycle_right.png", 4, (0.5, 0.5, 1), (0.4, 0.7, 0.6)),),
    ),
    DemoClip("Things/old-coins.mp4", (Shot("coins.png", 5, (0, 0, 0.7), (1, 1, 0.7)),)),
    DemoClip("Textures/brick-wall.mp4", (Shot("brick.png", 4, (0.5, 0, 0.8), (0.5, 1, 0.8)),)),
    DemoClip("Textures/gravel.mp4", (Shot("gravel.png", 4, (0, 0.5, 0.8), (1, 0.5, 0.8)),)),
    DemoClip("Textures/grass.mp4", (Shot("grass.png", 4, (1, 1, 0.8), (0, 0, 0.8)),)),
    DemoClip(
        "Mixed/space-programme.mp4",
        (
            Shot("astronaut.png", 3, (0.5, 0, 0.8), (0.5, 0, 0.9)),
            Shot("rocket.jpg", 3, (0.5, 0.8, 0.9), (0.5, 0.6, 0.8)),
        ),
    ),
    DemoClip(
        "Mixed/road-trip.mp4",
        (
            Shot("gravel.png", 3, (0, 0.5, 0.9), (1, 0.5, 0.9)),
            Shot("motorcycle_left.png", 3, (0.5, 0.6, 0.9), (0.5, 0.6, 1)),
        ),
    ),
    DemoClip(
        "Mixed/morning.mp4",
        (
            Shot("chelsea.png", 3, (0.5, 0.3, 0.9), (0.5, 0.3, 1)),
            Shot("coffee.png", 3, (0.5, 0.5, 0.9), (0.5, 0.5, 1)),
        ),
    ),
)


def photographs() -> Path:
    """Return the folder of the photographs.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the demo's photographs come with it", name="skimage")
    return Path(found.submodule_search_locations[0]) / "data"


def render_clip(clip: DemoClip, folder: Path, photos: Path) -> bool:
    """Render a clip below ``folder``; False if it is there already.

    The file appears whole or not at all.

    Raises:
        DatasetError: a photograph is missing, or the clip cannot be written.
    """
    target = folder / clip.path
    if target.is_file():
        return False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with writing(target) as draft:
            _encode(draft, (frame for shot in clip.shots for frame in shot_frames(shot, photos)))
    except (OSError, av.FFmpegError, UnknownCodecError) as exc:
        raise DatasetError(f"cannot write {target}: {exc}") from exc
    return True


def shot_frames(shot: Shot, photos: Path) -> Iterator[Frames]:
    """Yield the frames of a shot, each ``(HEIGHT, WIDTH, 3)`` RGB.

    Raises:
        DatasetError: the photograph is missing.
    """
    path = photos / shot.photo
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if bgr is None:
        raise DatasetError(f"{path} is missing or no picture: install scikit-image again")
    picture = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    count = round(shot.seconds * FPS)
    for number in range(count):
        share = number / (count - 1)
        eased = share * share * (3 - 2 * share)
        view = [a + (b - a) * eased for a, b in zip(shot.start, shot.end, strict=True)]
        yield _look(picture, *view)


def _look(picture: Any, x: float, y: float, share: float) -> Any:
    """Cut out a view, scaled to the frame, to a fraction of a pixel."""
    high, wide = picture.shape[:2]
    width = share * min(wide, high * WIDTH / HEIGHT)
    height = width * HEIGHT / WIDTH
    scale = width / WIDTH
    left, top = x * (wide - width), y * (high - height)
    move = np.array([[scale, 0, left], [0, scale, top]])
    return cv2.warpAffine(
        picture, move, (WIDTH, HEIGHT),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def _encode(path: Path, frames: Iterator[Any]) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for array in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode(None))
