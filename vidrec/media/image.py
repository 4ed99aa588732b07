"""Reading a still image as the models see frames: RGB, upright, of the wished size."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrec.errors import MediaError
from vidrec.media.picture import Fit, fit_box, on_white, paste
from vidrec.media.source import check_readable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

# A file of a few kilobytes can unpack to gigabytes; no photograph is larger than this.
MAX_PIXELS = 200_000_000


def read_image(path: Path, size: tuple[int, int], *, fit: Fit = "squash") -> NDArray[np.uint8]:
    """Return an image as ``(h, w, 3)`` uint8 RGB, turned as its EXIF orientation says.

    Of an animation it is the first frame; transparency is laid on white; 16 bits become 8.

    Raises:
        MediaError: the file is missing, unreadable, empty, no image, or too large to unpack.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    check_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large or slightly broken files; we judge sizes
            with Image.open(path) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise MediaError(f"{path}: {opened.width}x{opened.height} pixels are too many")
                if fit == "squash":
                    opened.draft("RGB", (2 * max(size), 2 * max(size)))  # JPEG: decode smaller
                image = ImageOps.exif_transpose(opened)
                return _fitted(_rgb(image), size, fit)
    except UnidentifiedImageError as exc:
        raise MediaError(f"{path}: not an image that can be read") from exc
    except Image.DecompressionBombError as exc:
        raise MediaError(f"{path}: too many pixels") from exc
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, IndexError) as exc:
        raise MediaError(f"{path}: a damaged image ({exc})") from exc


def _rgb(image: Image) -> Image:
    """Return the image in mode RGB."""
    from PIL import Image as images

    if image.mode.startswith(("I", "F")):  # 16 or 32 bits, one channel
        levels = np.asarray(image, np.float64)
        top = 65535.0 if levels.max(initial=0) > 255 else 255.0
        grey = (levels / top * 255).round().clip(0, 255).astype(np.uint8)
        return images.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        return images.fromarray(on_white(np.asarray(image.convert("RGBA"))))
    return image.convert("RGB")


def _fitted(image: Image, size: tuple[int, int], fit: Fit) -> NDArray[np.uint8]:
    from PIL.Image import Resampling

    (h, w), at = fit_box(size, image.width / image.height, fit)
    # Areas are averaged, as of video frames; enlarging, that would give blocks.
    shrinks = h <= image.height and w <= image.width
    image = image.resize((w, h), Resampling.BOX if shrinks else Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8)
    if (h, w) == size:
        return pixels.copy()
    canvas = np.zeros((*size, 3), np.uint8)
    paste(canvas, pixels, at)
    return canvas
