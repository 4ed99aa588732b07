"""Which files a folder scan takes for videos and images, by extension first of all.

Extensions are lower-case with their dot; compare with ``path.suffix.lower()``. A file named on
the command line is tried whatever its name. GIF counts as a video (it is animated far more often
than not, and a still one is a video of one frame); WebP, AVIF, PNG and JPEG count as images (most
of them are stills). A query takes either: ``media.image`` reads the first frame of an animation.
"""

from __future__ import annotations

from pathlib import Path

VIDEO_EXTENSIONS = frozenset(
    {
        ".264", ".265", ".3g2", ".3gp", ".3gp2", ".3gpp", ".asf", ".avi", ".divx", ".dv", ".f4v",
        ".flv", ".gif", ".gxf", ".h264", ".h265", ".hevc", ".insv", ".ivf", ".lrv", ".m1v", ".m2p",
        ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp4",
        ".mp4v", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt",
        ".rm", ".rmvb", ".tod", ".tp", ".trp", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".xvid",
        ".y4m",
    }
)  # fmt: skip
IMAGE_EXTENSIONS = frozenset(
    {
        ".avif", ".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif",
        ".tiff", ".webp",
    }
)  # fmt: skip
# Endings that texts have too: TypeScript, modules of Go and Fortran.
_SHARED_WITH_TEXTS = frozenset({".mod", ".mts", ".tod", ".tp", ".ts"})
_LOOKED_AT_BYTES = 512


def is_video_name(path: Path) -> bool:
    """Return whether a folder scan takes this file for a video."""
    return path.suffix.lower() in VIDEO_EXTENSIONS


def is_video_file(path: Path) -> bool:
    """Return whether a folder scan takes this file for a video.

    Where its ending tells too little, its first bytes are looked at. A file that cannot be read is
    taken for what it is called: whoever tries it says why it cannot be.
    """
    if not is_video_name(path):
        return False
    return path.suffix.lower() not in _SHARED_WITH_TEXTS or not _is_text(path)


def _is_text(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_LOOKED_AT_BYTES)
    except OSError:
        return False
    printable = all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    return bool(head) and printable
