"""The Marengo models: what each is asked, what it accepts, what it returns.

Vectors of two versions have the same length and cannot be compared, so the model's name is part
of the fingerprint. Facts: Twelve Labs' API reference and SDK 1.3.6; the limits of 3.5 for long
videos are not published in what was seen, so they are taken to be those of 3.0 and can be
changed in the config.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from vidrec.errors import ConfigError
from vidrec.types import Fingerprint, Scalar

if TYPE_CHECKING:
    from vidrec.sections import MarengoSettings
    from vidrec.types import VideoInfo

Option = Literal["visual", "audio", "transcription", "fused"]
KINDS: tuple[Option, ...] = ("visual", "audio", "transcription", "fused")


@dataclass(frozen=True, slots=True)
class Profile:
    """One model. ``sends_dim`` tells whether the dimension can be chosen."""

    model: str
    options: tuple[Option, ...]
    dims: tuple[int, ...]
    sends_dim: bool
    temporal: bool
    multi_input: bool
    fuses: bool

    @property
    def dim(self) -> int:
        return self.dims[-1]


PROFILES = {
    "marengo3.5": Profile(
        "marengo3.5", ("visual", "audio"), (128, 256, 512),
        sends_dim=True, temporal=True, multi_input=True, fuses=False,
    ),
    "marengo3.0": Profile(
        "marengo3.0", ("visual", "audio", "transcription"), (512,),
        sends_dim=False, temporal=False, multi_input=False, fuses=True,
    ),
}  # fmt: skip
SUCCESSOR = "marengo3.5"
# Public limits of a video: bytes, shorter side, longer side by shorter side, aspect.
MAX_BYTES = 4 << 30
MIN_SIDE, MAX_WIDTH, MAX_HEIGHT = 360, 5184, 2160
MAX_ASPECT = 2.4
ASSET_BYTES = 200 << 20


def searched(option: str) -> dict[Option, float | None]:
    """Return what is searched, ``visual`` or ``visual=0.7,audio=0.3``, with the weights.

    Raises:
        ValueError: a kind is not known or there twice, or only some have a weight above 0.
    """
    found: dict[Option, float | None] = {}
    for part in option.split(","):
        name, equals, number = part.partition("=")
        kind = next((one for one in KINDS if one == name.strip()), None)
        if kind is None or kind in found:
            raise ValueError(f"option takes {', '.join(KINDS)}, each once")
        found[kind] = float(number) if equals else None
        if equals and not 0 < float(number) < float("inf"):
            raise ValueError("a weight is a number above 0")
    if len({weight is None for weight in found.values()}) > 1:
        raise ValueError("either all of the options have a weight, or none")
    return found


def profile_of(settings: MarengoSettings) -> Profile:
    """Return the profile of the model that the settings name.

    Raises:
        ConfigError: the model is retired or unknown, or does not fit the other settings.
    """
    name = settings.model
    if "2.7" in name or "2.6" in name:
        raise ConfigError(
            f"{name} was switched off by Twelve Labs: set [marengo] model to {SUCCESSOR} and "
            "embed again (vectors of different versions cannot be compared)"
        )
    profile = PROFILES.get(name) or _foreseen(settings)
    if settings.dim is not None and name in PROFILES and settings.dim not in profile.dims:
        sizes = ", ".join(map(str, profile.dims))
        raise ConfigError(f"{name} has vectors of {sizes} numbers. Received: dim={settings.dim}")
    wished = searched_of(settings)
    if "transcription" in wished and "transcription" not in profile.options:
        raise ConfigError(f"{name} makes no embeddings of transcriptions: marengo3.0 does")
    if "fused" in wished and not profile.fuses:
        raise ConfigError(f"{name} makes no fused embeddings: use option visual, or marengo3.0")
    return profile


def searched_of(settings: MarengoSettings) -> dict[Option, float | None]:
    """Return what is searched under settings, with the weights.

    Raises:
        ConfigError: it is none of what there is.
    """
    try:
        return searched(settings.option)
    except ValueError as exc:
        raise ConfigError(f"[marengo] option: {exc}. Received: {settings.option}") from exc


def _foreseen(settings: MarengoSettings) -> Profile:
    """A model that this version does not know, asked like one that it does."""
    if settings.like is None or settings.dim is None:
        known = " or ".join(PROFILES)
        raise ConfigError(
            f"unknown model {settings.model}: choose {known}; for a newer one set also "
            "[marengo] like (the model whose requests it takes) and dim"
        )
    return replace(PROFILES[settings.like], model=settings.model, dims=(settings.dim,))


class Requests:
    """What is sent, and the fingerprints of what comes back, under one set of settings."""

    def __init__(self, settings: MarengoSettings) -> None:
        self.settings = settings
        self.profile = profile_of(settings)
        self.dim = settings.dim or self.profile.dim
        self.searched = searched_of(settings)
        self.option = next(iter(self.searched))  # what a video is compared by
        if settings.clips == "dynamic" and settings.clip_sec > 5:
            raise ConfigError(
                f"[marengo] clip_sec is 2 to 5 with dynamic clips. Received: {settings.clip_sec}"
            )

    @property
    def _segmentation(self) -> dict[str, Any]:
        kind, length = self.settings.clips, self.settings.clip_sec
        name = "min_duration_sec" if kind == "dynamic" else "duration_sec"
        inner = {"strategy": kind, kind: {name: length}}
        return {"temporal": inner} if self.profile.temporal else inner

    @property
    def options(self) -> tuple[Option, ...]:
        """The kinds of embeddings that a job returns."""
        fused: tuple[Option, ...] = ("fused",) if "fused" in self.searched else ()
        return (*self.profile.options, *fused)

    def fingerprint(self, option: Option) -> Fingerprint:
        """The fingerprint of one kind of embedding."""
        return self._named(option=option)

    @property
    def job_key(self) -> str:
        """What names a paid request in the job log: all that one job returns."""
        return str(self._named(options=",".join(self.options)))

    def _named(self, **values: Scalar) -> Fingerprint:
        values["clips"] = f"{self.settings.clips}:{self.settings.clip_sec}"
        return Fingerprint("marengo", self.profile.model, self.dim, values)

    def minutes(self, duration_sec: float | None) -> float:
        """The footage a video is counted for; a looped copy has at least the least length."""
        return max(duration_sec or 0.0, self.settings.min_sec) / 60

    def video(self, source: dict[str, str]) -> dict[str, Any]:
        """The arguments of ``embed.v_2.tasks.create`` for a media source."""
        video: dict[str, Any] = {
            "media_source": source,
            "segmentation": self._segmentation,
            # Always said: the service's default differs between versions.
            "embedding_option": list(self.profile.options),
            "embedding_scope": ["clip", "asset"],
        }
        if "fused" in self.options:
            video["embedding_type"] = ["separate_embedding", "fused_embedding"]
        return {"input_type": "video", "video": video, **self._model}

    def text(self, text: str) -> dict[str, Any]:
        """The arguments of ``embed.v_2.create`` for a text."""
        if self.profile.multi_input:
            source = {"input_text": text}
            head = {"input_type": "multi_input", "multi_input": source, "auto_truncate": True}
            return {**head, **self._model}
        return {"input_type": "text", "text": {"input_text": text}, **self._model}

    def image(self, base64: str) -> dict[str, Any]:
        """The arguments of ``embed.v_2.create`` for an image."""
        if self.profile.multi_input:
            source = {"media_sources": [{"media_type": "image", "base64_string": base64}]}
            return {"input_type": "multi_input", "multi_input": source, **self._model}
        image = {"media_source": {"base64_string": base64}}
        return {"input_type": "image", "image": image, **self._model}

    @property
    def _model(self) -> dict[str, Any]:
        # A null is refused: the dimension is left out where it cannot be chosen.
        dim = {"embedding_dimension": self.dim} if self.profile.sends_dim else {}
        return {"model_name": self.profile.model, **dim}


def refusal(settings: MarengoSettings, info: VideoInfo, size: int) -> str | None:
    """Say why the service would refuse a video: the value, the limit and the mend; or None."""
    short, long = sorted((info.width, info.height))
    name = settings.model
    if size > MAX_BYTES:
        return f"{size / 1e9:.1f} GB is more than the {MAX_BYTES >> 30} GB that {name} takes"
    if info.duration_sec > settings.max_sec:
        return (
            f"{info.duration_sec / 3600:.1f} h is longer than the {settings.max_sec / 3600:g} h "
            f"that {name} takes: cut it in parts"
        )
    problem = None
    if info.duration_sec < settings.min_sec:
        problem = f"{info.duration_sec:.1f} s is shorter than the {settings.min_sec:g} s"
    elif short < MIN_SIDE:
        problem = f"{info.width}x{info.height} is smaller than the {MIN_SIDE}x{MIN_SIDE}"
    elif long > MAX_WIDTH or short > MAX_HEIGHT:
        problem = f"{info.width}x{info.height} is larger than the {MAX_WIDTH}x{MAX_HEIGHT}"
    elif long > MAX_ASPECT * short:
        problem = f"{info.width}x{info.height} is more oblong than the 1:{MAX_ASPECT}"
    return f"{problem} that {name} takes: --repair embeds a copy that fits" if problem else None
