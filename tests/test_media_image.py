"""Images are read as frames are: upright, RGB, of the wished size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vidrec.errors import MediaError
from vidrec.media import limits
from vidrec.media.image import read_image
from vidrec.sections import MediaSettings


def corner_mark(width: int = 60, height: int = 40) -> Image.Image:
    """Draw a dark picture whose top left corner is bright red."""
    pixels = np.full((height, width, 3), 20, np.uint8)
    pixels[:10, :10] = (250, 20, 20)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff", "gif", "ppm"])
def test_common_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"Ä b.{suffix.upper()}"
    corner_mark().save(path, format={"jpg": "jpeg"}.get(suffix, suffix))

    pixels = read_image(path, (40, 60))

    assert pixels.shape == (40, 60, 3) and pixels.dtype == np.uint8
    assert pixels[4, 4].tolist() == pytest.approx([250, 20, 20], abs=25)
    assert pixels[30, 50].tolist() == pytest.approx([20, 20, 20], abs=12)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0)), (2, (0, -1))],
)
def test_exif_orientation(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    corner_mark().save(tmp_path / "a.jpg", exif=exif, quality=95)

    pixels = read_image(tmp_path / "a.jpg", (60, 60))

    marks = {(y, x): int(pixels[y, x, 0]) for y in (0, -1) for x in (0, -1)}
    assert max(marks, key=marks.__getitem__) == corner


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, 4:, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    palette = Image.new("P", (8, 8), 0)
    palette.save(tmp_path / "p.png", transparency=0)

    pixels = read_image(tmp_path / "a.png", (8, 8))

    assert (pixels[:, :4] == 255).all() and (pixels[:, 4:] == 0).all()
    assert (read_image(tmp_path / "p.png", (8, 8)) == 255).all()


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_grey_images_of_any_depth(tmp_path: Path, dtype: type, top: int) -> None:
    ramp = np.linspace(0, top, 256).astype(dtype).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a.tif")

    pixels = read_image(tmp_path / "a.tif", (16, 16))

    assert np.abs(pixels[..., 0].ravel().astype(int) - np.arange(256)).max() <= 1
    assert (pixels[..., 0] == pixels[..., 2]).all()


def test_fit_keeps_the_aspect(tmp_path: Path) -> None:
    Image.new("RGB", (80, 40), (200, 200, 200)).save(tmp_path / "a.png")

    padded = read_image(tmp_path / "a.png", (40, 40), fit="pad")

    assert not padded[:10].any() and not padded[30:].any() and (padded[10:30] == 200).all()
    assert (read_image(tmp_path / "a.png", (40, 40), fit="crop") == 200).all()


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)

    assert read_image(tmp_path / "a.webp", (4, 4))[0, 0].tolist() == [255, 0, 0]


def test_what_is_no_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    corner_mark(600, 400).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name in ("text.png", "empty.png", "cut.png", "missing.png"):
        with pytest.raises(MediaError, match=name) as caught:
            read_image(tmp_path / name, (8, 8))
        assert "\n" not in str(caught.value)

    monkeypatch.setattr(limits, "_in_force", MediaSettings(image_megapixels=0.1))
    with pytest.raises(MediaError, match=r"600x400 pixels .* image_megapixels"):
        read_image(tmp_path / "whole.png", (8, 8))


def test_damaged_images_never_raise_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "webp", "gif", "tiff"):
        corner_mark().save(tmp_path / f"a.{suffix}")
        whole = (tmp_path / f"a.{suffix}").read_bytes()
        for i in range(40):
            data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            path = tmp_path / f"{i}.{suffix}"
            path.write_bytes(bytes(data))
            try:
                assert read_image(path, (8, 8)).shape == (8, 8, 3)
            except MediaError as exc:
                assert "\n" not in str(exc)
