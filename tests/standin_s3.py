"""An S3 server for tests: moto's, behind real SigV4 checking.

moto accepts any credentials and any signature. The WSGI wrapper here recomputes every signature
(headers and presigned URLs, after the AWS Signature Version 4 specification), checks the body
hash, the expiry, the clock and the region, and answers as S3 does. Anonymous requests reach
public-read objects only. It knows nothing of botocore's signer.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, unquote

from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

SKEW_SECONDS = 15 * 60
UNSIGNED = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")


@dataclass
class Refusal(Exception):
    status: str
    code: str
    message: str
    extra: str = ""


@dataclass
class S3StandIn:
    """Use as a context manager; ``url`` is its endpoint."""

    access_key: str = "AKIDVIDRECTEST"
    secret_key: str = "s3cr3t/of+the=test"
    region: str = "eu-west-1"
    # Seconds added to the server's clock.
    clock_offset: float = 0.0
    # (method, regex on the path) that the credentials may not do.
    denied: list[tuple[str, str]] = field(default_factory=list)
    # Called with (method, path) before the request is served; may raise ConnectionError.
    before: Callable[[str, str], None] = lambda method, path: None
    log: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    _turn: threading.Lock = field(default_factory=threading.Lock)  # moto serves one at a time

    def __enter__(self) -> S3StandIn:
        s3_backends.reset()
        self._moto = create_backend_app("s3")
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Quiet)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        s3_backends.reset()

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to reach this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        raw = environ.get("REQUEST_URI") or environ["RAW_URI"]
        path, _, query = raw.partition("?")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        self.log.append((method, unquote(path)))
        try:
            self.before(method, unquote(path))
            self._check(environ, method, path, query, body)
        except Refusal as refusal:
            xml = (
                f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{refusal.code}</Code>'
                f"<Message>{refusal.message}</Message>{refusal.extra}</Error>"
            ).encode()
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(xml)))]
            start_response(refusal.status, headers)
            return [b"" if method == "HEAD" else xml]
        environ["wsgi.input"] = io.BytesIO(body)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        with self._turn:
            return list(self._moto(environ, start_response))

    def _check(
        self, environ: dict[str, Any], method: str, path: str, query: str, body: bytes
    ) -> None:
        signed = dict(_pairs(query))
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        if "X-Amz-Signature" in signed:
            self._check_presigned(
                environ, method, path, query, {k: unquote(v) for k, v in signed.items()}
            )
        elif authorization:
            self._check_header(environ, method, path, query, body, authorization)
        else:
            self._check_anonymous(method, path)
        for verb, pattern in self.denied:
            if verb == method and re.search(pattern, unquote(path)):
                raise Refusal("403 Forbidden", "AccessDenied", "Access Denied")

    def _check_anonymous(self, method: str, path: str) -> None:
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        if method in ("GET", "HEAD") and key:
            for account in s3_backends.values():
                found = account["aws"].get_object(bucket, key) if "aws" in account else None
                if found is not None and found.acl is not None and found.acl.public_read:
                    return
        raise Refusal("403 Forbidden", "AccessDenied", "Access Denied")

    def _check_header(
        self, environ: dict[str, Any], method: str, path: str, query: str, body: bytes, auth: str
    ) -> None:
        parts = dict(re.findall(r"(Credential|SignedHeaders|Signature)=([^, ]+)", auth))
        stamp = environ.get("HTTP_X_AMZ_DATE", "")
        self._check_scope(parts["Credential"], stamp)
        if abs(self._now() - _seconds(stamp)) > SKEW_SECONDS:
            raise Refusal(
                "403 Forbidden", "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            )  # fmt: skip
        payload = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
        if payload not in UNSIGNED and payload != hashlib.sha256(body).hexdigest():
            raise Refusal(
                "400 Bad Request", "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )  # fmt: skip
        headers = parts["SignedHeaders"].split(";")
        wanted = self._signature(
            environ, method, path, query, headers, payload, stamp, parts["Credential"]
        )
        _compare(wanted, parts["Signature"])

    def _check_presigned(
        self, environ: dict[str, Any], method: str, path: str, query: str, signed: dict[str, str]
    ) -> None:
        stamp = signed["X-Amz-Date"]
        self._check_scope(signed["X-Amz-Credential"], stamp)
        unsigned_query = "&".join(
            pair for pair in query.split("&") if not pair.startswith("X-Amz-Signature=")
        )
        wanted = self._signature(
            environ, method, path, unsigned_query, signed["X-Amz-SignedHeaders"].split(";"),
            "UNSIGNED-PAYLOAD", stamp, signed["X-Amz-Credential"],
        )  # fmt: skip
        _compare(wanted, signed["X-Amz-Signature"])
        if self._now() > _seconds(stamp) + int(signed["X-Amz-Expires"]):
            raise Refusal("403 Forbidden", "AccessDenied", "Request has expired")

    def _check_scope(self, credential: str, stamp: str) -> None:
        access_key, day, region, service, last = credential.rsplit("/", 4)
        if access_key != self.access_key:
            raise Refusal(
                "403 Forbidden", "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )  # fmt: skip
        if (service, last, day) != ("s3", "aws4_request", stamp[:8]):
            raise Refusal("400 Bad Request", "AuthorizationHeaderMalformed", "bad scope")
        if region != self.region:
            raise Refusal(
                "400 Bad Request", "AuthorizationHeaderMalformed",
                f"The authorization header is malformed; the region '{region}' is wrong; "
                f"expecting '{self.region}'", f"<Region>{self.region}</Region>",
            )  # fmt: skip

    def _signature(
        self, environ: dict[str, Any], method: str, path: str, query: str, headers: list[str],
        payload: str, stamp: str, credential: str,
    ) -> str:  # fmt: skip
        lines = [f"{name}:{_header(environ, name)}" for name in headers]
        # S3 encodes each byte of the path once: decode and encode, so that spelling is no matter.
        canonical = "\n".join([
            method, quote(unquote(path), safe="/~-_."),
            "&".join(f"{k}={v}" for k, v in sorted(_pairs(query))),
            *lines, "", ";".join(headers), payload,
        ])  # fmt: skip
        _, day, region, service, last = credential.rsplit("/", 4)
        scope = f"{day}/{region}/{service}/{last}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = b"AWS4" + self.secret_key.encode()
        for part in (day, region, service, last):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def _now(self) -> float:
        return time.time() + self.clock_offset


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args: Any, **kwargs: Any) -> None:
        return None


def _pairs(query: str) -> list[tuple[str, str]]:
    """Split a raw query; a value-less key gets an empty value, as the specification asks."""
    return [
        (name, value)
        for pair in query.split("&") if pair
        for name, _, value in [pair.partition("=")]
    ]  # fmt: skip


def _header(environ: dict[str, Any], name: str) -> str:
    special = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
    key = special.get(name, "HTTP_" + name.upper().replace("-", "_"))
    return " ".join(str(environ.get(key, "")).split())


def _compare(wanted: str, given: str) -> None:
    if not hmac.compare_digest(wanted, given):
        raise Refusal(
            "403 Forbidden", "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )  # fmt: skip


def _seconds(stamp: str) -> float:
    parsed = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
    return parsed.replace(tzinfo=timezone.utc).timestamp()
