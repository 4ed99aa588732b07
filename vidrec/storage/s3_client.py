"""Clients of S3: which endpoint, which credentials and which region.

vidrec's settings come first; what they leave open is taken from AWS's own places (variables, config
files, profiles, roles), as AWS's tools do.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vidrec.errors import StorageError, UsageError
from vidrec.files import writing
from vidrec.reach import REACH_SECONDS, reach, waiting
from vidrec.storage.s3_errors import ENDPOINT, Doing, no_storage, wrong_region
from vidrec.urls import shown_url

if TYPE_CHECKING:
    from vidrec.sections import S3Settings

DEFAULT_REGION = "us-east-1"
_AWS = re.compile(r"(^|\.)amazonaws\.com(\.cn)?$")


class Clients:
    """Makes a boto3 client for each region. Safe to share between threads."""

    def __init__(
        self, settings: S3Settings, memory: Path | None, say: Callable[[str], None]
    ) -> None:
        """``memory``: a file that remembers where buckets lie. Nothing is opened yet."""
        self.settings = settings
        self.where = shown_url(settings.endpoint_url) if settings.endpoint_url else "AWS S3"
        self.payer = {"RequestPayer": "requester"} if settings.requester_pays else {}
        self.profile = settings.profile or _said("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
        self._memory = memory
        self._say = say
        self._mutex = threading.RLock()
        self._session: Any = None
        self._made: dict[tuple[str, str], Any] = {}
        self._regions: dict[str, str] = {}
        self._reached = False

    @contextmanager
    def doing(self, action: str, bucket: str | None) -> Iterator[None]:
        """A block whose botocore errors become StorageErrors that name the action."""
        try:
            yield
        except (StorageError, UsageError):
            raise
        except Exception as exc:
            doing = Doing(action, bucket, self.settings, self.where, self.profile)
            if (error := doing.told(exc)) is None:
                raise
            raise error from exc

    def of(self, bucket: str, *, asks: bool = True) -> Any:
        """Return the client for a bucket, in its region; ``asks``: a request will be made.

        Raises:
            StorageError: the profile or the region is unknown, or nothing answers there.
        """
        with self._mutex:
            return self._client(self.settings.region or self._region_of(bucket, asks), bucket)

    def _region_of(self, bucket: str, asks: bool) -> str:
        """Return where a bucket lies: as found out before, or now."""
        if bucket not in self._regions:
            self._client(self._default, bucket)
            known = self._remembered().get(self._name(bucket))
            if known is None:
                try:
                    return self.locate(bucket)
                except StorageError:
                    if asks:
                        raise
                    return self._default  # a URL can be signed without anybody's answer
            self._regions[bucket] = known
        return self._regions[bucket]

    def locate(self, bucket: str, prefix: str = "") -> str:
        """Find out at once whether credentials, bucket and region are good; return the region.

        A listing is asked for, since only GET answers say what is wrong. Being allowed to write
        but not to list is fine.

        Raises:
            StorageError: they are not good, or the settings name another region than the bucket's.
        """
        client = self._client(self.settings.region or self._default, bucket)
        self._reach(client.meta.endpoint_url)
        regions: list[str] = []

        def note_region(request: Any, **rest: object) -> None:
            signed = re.search(rb"Credential=[^/]+/\d+/([^/]+)/", _bytes(request.headers))
            regions.extend([signed[1].decode()] if signed else [])

        # boto3 follows a bucket to its region by itself, but presigned URLs would not.
        client.meta.events.register("before-send.s3.ListObjectsV2", note_region)
        try:
            with self.doing("list", bucket), waiting(self._say, self.where):
                said = client.list_objects_v2(Bucket=bucket, MaxKeys=1, Prefix=prefix, **self.payer)
            self._check_listing(said["ResponseMetadata"].get("HTTPHeaders", {}))
        except StorageError as exc:
            if exc.code != "AccessDenied":
                raise
        finally:
            client.meta.events.unregister("before-send.s3.ListObjectsV2", note_region)
        found = regions[-1] if regions else client.meta.region_name
        if self.settings.region is not None and found != self.settings.region:
            raise wrong_region(bucket, found)
        self._remember(bucket, found)
        return found

    def _check_listing(self, headers: dict[str, str]) -> None:
        """Tell a web page, which answers everything well: what it is sent would be lost.

        Raises:
            StorageError: it is one.
        """
        if "html" in headers.get("content-type", "") or headers.get("content-length") == "0":
            raise no_storage(self.where)

    @property
    def _default(self) -> str:
        self._open()
        with self.doing("open", None):
            return (self._session.region_name or "").strip() or DEFAULT_REGION

    def _open(self) -> None:
        if self._session is not None:
            return
        import boto3
        from botocore.configprovider import ConstantProvider
        from botocore.session import Session

        with self.doing("open", None):
            core, named = Session(), self.settings.profile
            if self.profile and not named:  # beside AWS's variables with keys, those count
                store = core.get_component("config_store")
                store.set_config_provider("profile", ConstantProvider(self.profile))
            self._session = boto3.Session(profile_name=named, botocore_session=core)

    def _client(self, region: str, bucket: str) -> Any:
        # A name with dots fits no certificate as part of the host's. botocore's own choice would
        # sign URLs for the host of all regions, which sends those of most buckets elsewhere.
        style = "path" if "." in bucket else "virtual"
        with self._mutex:
            if (region, style) not in self._made:
                self._open()
                with self.doing("open", None):
                    self._made[region, style] = self._connect(region, style)
            return self._made[region, style]

    def _connect(self, region: str, style: str) -> Any:
        from botocore.config import Config

        given = {} if self.settings.anonymous else self._keys()
        named = self.settings.endpoint_url
        ignored = self._session._session.get_config_variable("ignore_configured_endpoint_urls")
        if named is None and not ignored:
            named = _said("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        made = self._session.client(
            "s3", region_name=region, endpoint_url=named,
            config=Config(**self._options(style, custom=False)), **given,
        )  # fmt: skip
        endpoint = made.meta.endpoint_url
        if not _AWS.search(urlsplit(endpoint).hostname or ""):
            self.where = shown_url(endpoint)
            made = self._session.client(
                "s3", region_name=region, endpoint_url=endpoint,
                config=Config(**self._options("path", custom=True)), **given,
            )  # fmt: skip
        made.meta.events.register("needs-retry.s3", self._tell_of_retry)
        made.meta.events.register("before-sign.s3.GetObject", _payer_in_query)
        return made

    def _options(self, style: str, *, custom: bool) -> dict[str, Any]:
        """What a client is told. AWS's own switches count where vidrec has none of its own.

        Other servers than AWS may not know the newer checksums, nor a bucket in the host name.
        """
        import botocore

        said = self._session._session.get_scoped_config()
        own = said.get("s3") if isinstance(said.get("s3"), dict) else {}
        options: dict[str, Any] = {
            "signature_version": botocore.UNSIGNED if self.settings.anonymous else "s3v4",
            "s3": {"addressing_style": style, "us_east_1_regional_endpoint": "regional", **own},
            "connect_timeout": REACH_SECONDS,
            "read_timeout": 60,
            "max_pool_connections": 64,
        }
        if "attempts" in self.settings.model_fields_set or not _is_set("max_attempts", said):
            options["retries"] = {"mode": "standard", "max_attempts": self.settings.attempts}
        for name in ("request_checksum_calculation", "response_checksum_validation"):
            if custom and not _is_set(name, said):
                options[name] = "when_required"
        return options

    def _keys(self) -> dict[str, str]:
        """The keys as arguments where they are fixed ones, without white space around them.

        Raises:
            StorageError: one holds what no key does; it would be shown in an error about headers.
        """
        from botocore.credentials import RefreshableCredentials

        found = self._session.get_credentials()
        if found is None or isinstance(found, RefreshableCredentials):
            return {}
        frozen = found.get_frozen_credentials()
        keys = {
            "aws_access_key_id": frozen.access_key, "aws_secret_access_key": frozen.secret_key,
            "aws_session_token": frozen.token,
        }  # fmt: skip
        given = {name: value.strip() for name, value in keys.items() if value}
        for name, value in given.items():
            if not all("!" <= letter <= "~" for letter in value):
                raise StorageError(
                    f"{name.upper()} holds spaces or letters that no key has: check the AWS "
                    f"credentials{f' of profile {self.profile}' if self.profile else ''}"
                )
        return given

    def shortened(self, seconds: int) -> str:
        """Say that URLs made now will not live so long, as the credentials do not; or nothing."""
        ends = self._session_ends()
        if ends is None:
            return (
                "the URLs are signed with temporary AWS credentials, and open nothing once those "
                "end"
            )
        if ends >= time.time() + seconds:
            return ""
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(ends))
        return (
            f"the URLs end at {at} with the AWS session that signs them, before the time asked for"
        )

    def _session_ends(self) -> float | None:
        """Return when the credentials end, in Unix seconds; None where nobody says.

        Those that last end at infinity.
        """
        self._open()
        with self.doing("open", None):
            found = None if self.settings.anonymous else self._session.get_credentials()
            if found is None or not found.get_frozen_credentials().token:
                return float("inf")
        ends: Any = getattr(found, "_expiry_time", None)
        if ends is None and found.method == "env":
            try:
                text = os.environ.get("AWS_CREDENTIAL_EXPIRATION", "").replace("Z", "+00:00")
                ends = datetime.fromisoformat(text)
            except ValueError:
                return None
        if ends is None:
            return None
        return float((ends if ends.tzinfo else ends.replace(tzinfo=timezone.utc)).timestamp())

    def _tell_of_retry(
        self, attempts: int = 0, response: Any = None, caught_exception: Any = None, **rest: object
    ) -> None:
        """Say that a request is tried again, from its second failure on."""
        status = response[0].status_code if response else None
        if attempts < 2 or (caught_exception is None and (status or 0) < 429):
            return
        problem = f"HTTP {status}" if status else type(caught_exception).__name__
        self._say(f"{self.where} does not answer well ({problem}): trying again")

    def _reach(self, endpoint: str) -> None:
        """Connect once, so that a wrong address is told at once and not after all tries.

        Raises:
            StorageError: nothing answers there.
        """
        if self._reached:
            return
        try:
            reach(endpoint)
        except (OSError, ValueError) as exc:
            raise StorageError(
                f"cannot reach {self.where} ({exc}): check the network and {ENDPOINT}",
                code="EndpointConnectionError",
            ) from exc
        self._reached = True

    # Where buckets lie

    def _name(self, bucket: str) -> str:
        return f"{self.where} {bucket}"

    def _remembered(self) -> dict[str, str]:
        try:
            found = json.loads(self._memory.read_bytes()) if self._memory else {}
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _remember(self, bucket: str, region: str) -> None:
        self._regions[bucket] = region
        known = self._remembered()
        if self._memory is None or known.get(self._name(bucket)) == region:
            return
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            with writing(self._memory, durable=False) as draft:
                draft.write_text(json.dumps({**known, self._name(bucket): region}))
        except OSError:
            pass  # it is found out again


def _payer_in_query(request: Any, signature_version: Any = "", **rest: object) -> None:
    """Put into a presigned URL who pays: botocore would have whoever opens it send a header."""
    payer = request.headers.get("x-amz-request-payer")
    if payer and str(signature_version).endswith("query"):
        del request.headers["x-amz-request-payer"]
        request.params = {**(request.params or {}), "x-amz-request-payer": payer}


def _said(*names: str) -> str | None:
    """What AWS's own variables say, without the white space around it that pasting brings."""
    return next(filter(None, (os.environ.get(name, "").strip() for name in names)), None)


def _is_set(name: str, said: dict[str, Any]) -> bool:
    """Whether AWS's own variable or config file decides about something."""
    return bool(os.environ.get(f"AWS_{name.upper()}") or said.get(name))


def _bytes(headers: Any) -> bytes:
    value = headers.get("Authorization", b"")
    return value if isinstance(value, bytes) else str(value).encode()
