"""What a file may ask of the machine: the bounds of ``[media]`` that are in force.

They belong to the process, as its memory does: whoever reads the settings calls ``use`` once, and
every decoder that is opened afterwards keeps to them.
"""

from __future__ import annotations

from vidrec.sections import MediaSettings

_in_force = MediaSettings()


def use(settings: MediaSettings) -> None:
    """Let these bounds hold from now on."""
    global _in_force
    _in_force = settings


def in_force() -> MediaSettings:
    """Return the bounds that hold now."""
    return _in_force


def max_pixels() -> int:
    """Return how many pixels a frame of a video may have."""
    return int(_in_force.frame_megapixels * 1_000_000)


def too_many(width: int, height: int, setting: str) -> str:
    """Say that a picture is larger than the setting of that name allows."""
    allowed = getattr(_in_force, setting)
    return f"{width}x{height} pixels are more than {allowed:g} million (setting [media] {setting})"
