"""Reading a still image as the models see frames: RGB, upright, of the wished size."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrec.errors import MediaError, TransientError, may_pass
from vidrec.media import limits
from vidrec.media.picture import Fit, fit_box, framed, on_white
from vidrec.media.source import check_readable

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

# What Pillow may take a file for. Others start programs (EPS: Ghostscript) or name further files.
FORMATS = (
    "JPEG", "PNG", "GIF", "BMP", "PPM",  # the usual ones first: others make Pillow load all it has
    "WEBP", "AVIF", "TIFF", "DIB", "ICO", "JPEG2000", "PCX", "TGA",
)  # fmt: skip


def read_image(path: Path, size: tuple[int, int], *, fit: Fit = "squash") -> NDArray[np.uint8]:
    """Return an image as ``(h, w, 3)`` uint8 RGB, turned as its EXIF orientation says.

    Of an animation it is the first frame; transparency is laid on white; 16 bits become 8.

    Raises:
        MediaError: the file is missing, empty, no image of a kind that is read, damaged, or beyond
            the limit of pixels.
        TransientError: it cannot be read now.
    """
    from PIL import Image, UnidentifiedImageError

    check_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large or slightly broken files; we judge sizes
            with Image.open(path, formats=FORMATS) as opened:
                return _read(path, opened, size, fit)
    except (MediaError, MemoryError):
        raise
    except UnidentifiedImageError as exc:
        raise MediaError(f"{path}: not an image of a kind that can be read") from exc
    except Image.DecompressionBombError as exc:
        raise MediaError(f"{path}: too many pixels ({exc})") from exc
    except Exception as exc:  # Pillow's readers raise whatever damaged bytes lead to
        if isinstance(exc, OSError) and may_pass(exc):
            raise TransientError(f"{path}: cannot be read ({exc.strerror})") from exc
        reason = " ".join(str(exc).split()) or type(exc).__name__
        raise MediaError(f"{path}: a damaged image ({reason})") from exc


def _read(path: Path, opened: ImageFile, size: tuple[int, int], fit: Fit) -> NDArray[np.uint8]:
    from PIL import ImageOps

    opened.draft("RGB", (2 * max(size), 2 * max(size)))  # JPEG: decode smaller
    if opened.width * opened.height > limits.in_force().image_megapixels * 1_000_000:
        problem = limits.too_many(opened.width, opened.height, "image_megapixels")
        raise MediaError(f"{path}: {problem}")
    ImageOps.exif_transpose(opened, in_place=True)
    return _fitted(_rgb(opened), size, fit)


def _rgb(image: Image) -> Image:
    """Return the image in mode RGB."""
    from PIL import Image as images

    if image.mode.startswith(("I", "F")):  # 16 or 32 bits, one channel
        levels = np.asarray(image, np.float64)
        most = levels.max(initial=0)
        top = 1.0 if image.mode == "F" and most <= 1 else 65535.0 if most > 255 else 255.0
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
    return framed(np.array(image, np.uint8), size, at)
