"""Which files a folder scan takes for videos and images, by extension alone.

Extensions are lower-case with their dot; compare with ``path.suffix.lower()``. A file named on
the command line is tried whatever its name. GIF counts as a video (it is animated far more often
than not, and a still one is a video of one frame); WebP, AVIF, PNG and JPEG count as images (most
of them are stills). A query takes either: ``media.image`` reads the first frame of an animation.
"""

from __future__ import annotations

from pathlib import Path

VIDEO_EXTENSIONS = frozenset(
    {
        ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265",
        ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv",
        ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt",
        ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
    }
)  # fmt: skip
IMAGE_EXTENSIONS = frozenset(
    {
        ".avif", ".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif",
        ".tiff", ".webp",
    }
)  # fmt: skip


def is_video_name(path: Path) -> bool:
    """Return whether a folder scan takes this file for a video."""
    return path.suffix.lower() in VIDEO_EXTENSIONS


def is_image_name(path: Path) -> bool:
    """Return whether a query takes this file for an image."""
    return path.suffix.lower() in IMAGE_EXTENSIONS
