"""Sections of the config file: what can be set, its kinds and defaults, in one place.

Every command waits for this: annotations are no texts here, which pydantic would compile one by
one, and a section has a validator of its own only where something asks for it (``defer_build``).
"""

import os
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
)
from pydantic_settings import NoDecode

from vidrec.plugins import parsed
from vidrec.urls import checked_endpoint


class Section(BaseModel):
    """A table of the config file; unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True
    )


def clean_key(key: SecretStr) -> SecretStr:
    """Return a key without the white space around it, which copying and pasting brings.

    Raises:
        ValueError: it holds what no header can carry, and what is complained of would show it.
    """
    text = key.get_secret_value().strip()
    if not all("!" <= letter <= "~" for letter in text):
        raise ValueError("the API key holds spaces or letters that no key has")
    return SecretStr(text)


ApiKey = Annotated[SecretStr, AfterValidator(clean_key)]
Name = Annotated[str, StringConstraints(strip_whitespace=True)]
Endpoint = Annotated[str, AfterValidator(checked_endpoint)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parsed)]  # a variable's is JSON
S = TypeVar("S", bound=Section)


class EmbedderSettings(Section):
    """Which embedder, and how videos are cut for it."""

    name: str = "conse"
    clip_seconds: float = Field(default=10.0, ge=1, le=3600)
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, le=64)
    min_confidence: float = Field(default=0.25, ge=0, le=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"


class MediaSettings(Section):
    """What one file may ask of the machine; what asks for more is refused.

    Attributes:
        frame_megapixels: of one frame of a video, before it is decoded.
        image_megapixels: of an image.
        still_hours: how long the frames of a video may stand still, all together.
        stall_sec: how long a file may be read without anything coming of it.
    """

    frame_megapixels: float = Field(default=68.0, gt=0)
    image_megapixels: float = Field(default=100.0, gt=0)
    still_hours: float = Field(default=24.0, gt=0)
    stall_sec: float = Field(default=60.0, gt=0)


class ConseSettings(Section):
    """The offline default embedder."""

    frames: int = Field(default=8, ge=1, le=64)


class ClipSettings(Section):
    """CLIP's kind: a pair of networks that share a space.

    Attributes:
        weights: which of the pair's files, where it has several.
        templates: what a text is put into; its vector is the mean of theirs.
    """

    model: Literal["siglip2-base", "clip-vit-b-32", "jina-clip-v1"] = "siglip2-base"
    path: Path | None = None
    weights: Literal["float32", "float16", "int8"] = "float32"
    templates: tuple[Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")], ...] = ()
    frames: int = Field(default=8, ge=1, le=64)


class ResnetSettings(Section):
    """The embedder that `vidrec train` makes."""

    checkpoint: Path | None = None
    windows: int = Field(default=1, ge=1, le=16)


class MarengoSettings(Section):
    """Twelve Labs' Marengo. Prices are in US dollars; one that is not set stays unknown."""

    api_key: ApiKey | None = None
    base_url: Endpoint | None = None
    model: str = "marengo3.5"
    like: Literal["marengo3.5", "marengo3.0"] | None = None
    dim: int | None = Field(default=None, ge=1)
    option: str = "visual"
    clips: Literal["dynamic", "fixed"] = "dynamic"
    clip_sec: int = Field(default=4, ge=2, le=10)
    source: Literal["auto", "url", "asset"] = "auto"
    jobs: int = Field(default=4, ge=1, le=64)
    rpm: int = Field(default=60, ge=1)
    timeout_sec: float = Field(default=60.0, gt=0)
    poll_sec: float = Field(default=5.0, gt=0)
    patience_sec: float = Field(default=600.0, gt=0)
    settle_sec: float = Field(default=15.0, ge=0)
    min_sec: float = Field(default=4.0, ge=0)
    max_sec: float = Field(default=4 * 3600.0, gt=0)
    price_video_minute: float | None = Field(default=None, ge=0)
    price_thousand_texts: float | None = Field(default=None, ge=0)


class PaidSettings(Section):
    """What may be spent with embedders that cost money, in minutes of footage.

    Attributes:
        ask_minutes: a run of `embed` that would pay for more asks first, or needs --allow-paid.
        month_minutes: never more in a calendar month (UTC), whatever is asked.
        queries: whether a clip that costs money may be asked with, without asking first.
    """

    ask_minutes: float = Field(default=60.0, ge=0)
    month_minutes: float | None = Field(default=None, ge=0)
    queries: bool = False


class StoreSettings(Section):
    """Which store `index` writes and `recommend` reads."""

    name: str = "knn"


class KnnSettings(Section):
    """The local index; by default it lies in the library."""

    path: Path | None = None


class QdrantSettings(Section):
    """Qdrant: a cloud cluster or server by url or host and port, or a folder by path.

    What shapes a collection (quantization, shards, replicas, on_disk) holds from the next
    `vidrec index --recreate` on. With a tenant only what was written under that name is found.
    """

    url: Name | None = None
    host: Name | None = None
    port: int | None = None
    path: Path | None = None
    api_key: ApiKey | None = None
    collection: str = "vidrec"
    prefer_grpc: bool = False
    timeout: int = Field(default=30, ge=1)
    exact: bool = True
    quantization: Literal["none", "scalar", "binary"] = "none"
    shard_number: int | None = Field(default=None, ge=1)
    replication_factor: int | None = Field(default=None, ge=1)
    on_disk: bool = False
    tenant: str | None = None
    local_paths: bool = False


class S3Settings(Section):
    """Object storage for uploads; credentials come from the usual AWS places."""

    bucket: Name | None = None
    prefix: str = "vidrec/"
    endpoint_url: Endpoint | None = None
    region: Name | None = None
    profile: Name | None = None
    anonymous: bool = False
    requester_pays: bool = False
    public: bool = False
    workers: int = Field(default=4, ge=1, le=32)
    attempts: int = Field(default=5, ge=1, le=20)


class RemoteSettings(Section):
    """Videos given by URL: the cache that they pass through, in megabytes."""

    cache_mb: int = Field(default=4096, ge=1)


class ExchangeSettings(Section):
    """Vectors from elsewhere: how many rows one import may bring."""

    max_rows: int = Field(default=20_000_000, ge=1)


class ServeSettings(Section):
    """The page and its API.

    Attributes:
        token: what lets a client in; needed on any address but this machine's own.
        allowed_hosts: names under which the server may be asked, beside this machine's own.
        cors_origins: pages of other origins that may read the answers.
        proxies: addresses of reverse proxies, which are believed whom they speak for.
        root_path: under which a reverse proxy has the page: "/vidrec".
        rate: questions a minute from one client; 0 for no limit.
        upload_mb: of all clips and pictures of one question together.
        timeout_sec: how long one question may take.
        cache_mb: of disk for what is made for browsers.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    token: ApiKey | None = None
    allowed_hosts: Names = ()
    cors_origins: Names = ()
    proxies: Names = ()
    root_path: str = Field(default="", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    rate: int = Field(default=240, ge=0)
    upload_mb: int = Field(default=64, ge=1, le=4096)
    timeout_sec: float = Field(default=60.0, ge=1, le=600)
    cache_mb: int = Field(default=2048, ge=16)


class TrainSettings(Section):
    """Defaults of `vidrec train`."""

    recipe: Literal["default", "reference"] = "default"
    epochs: int = Field(default=50, ge=1)
    batch_size: int = Field(default=8, ge=1)
    seed: int = 0
