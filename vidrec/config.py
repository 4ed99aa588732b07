"""Settings: a flag wins over ``VIDREC_*``, which wins over the TOML file, then the default.

The TOML file is the first of: ``--config FILE``, ``$VIDREC_CONFIG``, ``./vidrec.toml``, and
``config.toml`` in the user's config folder. One that is found in the working folder is not trusted
with keys from elsewhere (``trust.py``). An environment variable names its section and key:
``VIDREC_QDRANT_URL`` is ``[qdrant] url``, ``VIDREC_LIBRARY`` is ``library``. Unknown keys are
refused by name; secrets are ``SecretStr`` and show as ``**********`` wherever they are printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from platformdirs import user_cache_path, user_data_path
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from vidrec.errors import ConfigError
from vidrec.files import expanded
from vidrec.origins import Given, problem_of, read_given
from vidrec.plugins import ENV_PREFIX, take_plugins
from vidrec.trust import require_trust
from vidrec.urls import checked_endpoint

# Environment variables under the prefix that are not settings.
NOT_SETTINGS = ("VIDREC_CONFIG", "VIDREC_TEST_", "VIDREC_BENCH_")


class Section(BaseModel):
    """A table of the config file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)


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
Endpoint = Annotated[str, AfterValidator(checked_endpoint)]
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

    url: str | None = None
    host: str | None = None
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

    bucket: str | None = None
    prefix: str = "vidrec/"
    endpoint_url: Endpoint | None = None
    region: str | None = None
    profile: str | None = None
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
        rate: questions a minute from one client; 0 for no limit.
        upload_mb: of all clips and pictures of one question together.
        timeout_sec: how long one question may take.
        cache_mb: of disk for what is made for browsers.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65535)
    token: ApiKey | None = None
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
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


class Settings(BaseSettings):
    """All settings, checked. Build one with ``load_settings``."""

    model_config = SettingsConfigDict(
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        validate_default=True,
    )

    library: Path = Field(default_factory=lambda: user_data_path("vidrec", appauthor=False))
    cache: Path = Field(default_factory=lambda: user_cache_path("vidrec", appauthor=False))
    embedder: EmbedderSettings = EmbedderSettings()
    media: MediaSettings = MediaSettings()
    conse: ConseSettings = ConseSettings()
    clip: ClipSettings = ClipSettings()
    resnet: ResnetSettings = ResnetSettings()
    marengo: MarengoSettings = MarengoSettings()
    paid: PaidSettings = PaidSettings()
    store: StoreSettings = StoreSettings()
    knn: KnnSettings = KnnSettings()
    qdrant: QdrantSettings = QdrantSettings()
    s3: S3Settings = S3Settings()
    remote: RemoteSettings = RemoteSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    serve: ServeSettings = ServeSettings()
    train: TrainSettings = TrainSettings()
    # What is set for installed plug-ins, unchecked until one is opened: it may hold secrets.
    _plugins: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)
    _given: Given | None = PrivateAttr(default=None)

    def section_of(self, name: str, model: type[S]) -> S:
        """Return the settings of an embedder or store of that name, checked by its own model.

        Raises:
            ConfigError: a key that the model does not know, or a value that it does not take.
        """
        if isinstance(own := getattr(self, name, None), model):
            return own
        try:
            return model.model_validate(self._plugins.get(name, {}))
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            problem = {**first, "loc": (name, *first["loc"])}
            known = [f"{name}.{key}" for key in model.model_fields]
            raise ConfigError(problem_of(self._given or Given({}), problem, known)) from exc

    @field_validator("library", "cache")
    @classmethod
    def _expand(cls, path: Path) -> Path:
        return expanded(path).absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _toml_source(settings_cls)


class _TomlSource(PydanticBaseSettingsSource):
    """The parsed config file as the weakest source above the defaults."""

    def __init__(self, settings_cls: type[BaseSettings], values: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = values

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self._values)


_file_values: Mapping[str, Any] = {}


def _toml_source(settings_cls: type[BaseSettings]) -> _TomlSource:
    return _TomlSource(settings_cls, _file_values)


def load_settings(
    explicit: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read and check all settings.

    Args:
        explicit: the config file given on the command line.
        overrides: values of flags by dotted name (``{"embedder.name": "conse"}``); None values
            are flags that were not given and are skipped.

    Raises:
        ConfigError: a missing or malformed file, an unknown key, a value of the wrong kind, or a
            file of the working folder that would send a key from elsewhere where it wishes.
    """
    given = read_given(explicit, overrides or {})
    require_trust(given, secret_settings())
    return settings_of(given)


def settings_of(given: Given) -> Settings:
    """Return the settings that were given, checked; nobody asks whether the file is trusted.

    Raises:
        ConfigError: an unknown key, or a value of the wrong kind.
    """
    global _file_values
    values, flags = dict(given.values), {**given.flags}
    plugins = take_plugins(Settings.model_fields, values, _unknown_variables(), flags)
    _file_values = values
    try:
        settings = Settings(**flags)
        settings._plugins, settings._given = plugins, given if plugins else None
        return settings
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        raise ConfigError(problem_of(given, dict(first), tuple(setting_names()))) from exc
    except SettingsError as exc:
        raise ConfigError(f"{exc} (VIDREC_* environment)") from exc
    finally:
        _file_values = {}


@cache
def setting_names() -> dict[str, Any]:
    """Return all settings of vidrec's own by dotted name, with their fields."""
    names: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, Section):
            inner = type(field.default).model_fields
            names |= {f"{name}.{key}": its for key, its in inner.items()}
        else:
            names[name] = field
    return names


@cache
def secret_settings() -> dict[str, tuple[str, ...]]:
    """Return the names of each section's keys."""
    found: dict[str, tuple[str, ...]] = {}
    for dotted, field in setting_names().items():
        section, _, key = dotted.rpartition(".")
        if section:
            secret = "SecretStr" in str(field.annotation)
            found[section] = (*found.get(section, ()), *((key,) if secret else ()))
    return found


def _unknown_variables() -> dict[str, str]:
    """Return variables under the prefix that name no setting of ours: a plug-in's, or typos.

    Raises:
        ConfigError: one names a section.
    """
    unknown: dict[str, str] = {}
    for name, value in os.environ.items():
        if not name.startswith(ENV_PREFIX) or name.startswith(NOT_SETTINGS):
            continue
        top = name[len(ENV_PREFIX) :].lower()
        section, _, key = top.partition("_")
        field = Settings.model_fields.get(section)
        whole = Settings.model_fields.get(top)
        if whole is not None and isinstance(whole.default, Section):
            example = "name" if "name" in type(whole.default).model_fields else "KEY"
            raise ConfigError(
                f"{name} names a section, not a setting: set {name}_{example.upper()} instead"
            )
        if whole is None and (field is None or not key):
            unknown[name] = value
    return unknown
