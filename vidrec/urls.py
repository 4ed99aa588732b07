"""URLs as they may be written down: without what lets whoever reads them in."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

_SECRET = re.compile(
    r"(?i)(sign?|signature|token|credential|key|secret|password|passwd|pwd|auth|jwt|hmac)$"
)
# What goes with a signature and changes with it: S3, Google, CloudFront, Azure.
_COMPANION = re.compile(
    r"(?i)^(x-amz-.*|x-goog-.*|googleaccessid|expires|policy|key-pair-id|s[a-z]{1,2}|sk[a-z]+)$"
)

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'`<>]+")


def stable_url(url: str) -> str:
    """Return a URL without its password, and without the parameters that sign it.

    Raises:
        ValueError: it cannot be taken apart.
    """
    parts = urlsplit(url)
    pairs = [pair for pair in parts.query.split("&") if pair]
    names = [pair.partition("=")[0] for pair in pairs]
    signed = any(_SECRET.search(name) for name in names)
    kept = [
        pair
        for pair, name in zip(pairs, names, strict=True)
        if not signed or not (_SECRET.search(name) or _COMPANION.match(name))
    ]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "&".join(kept), ""))


def checked_endpoint(url: str) -> str:
    """Return the address of a service, without white space around it.

    Raises:
        ValueError: it is none; what is complained of shows no password.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and (parts.port is None or parts.port > 0) and not re.search(r"\s", url)
    except ValueError:
        good = False
    if not good:
        raise ValueError("it is no address of a service: https://HOST[:PORT][/PATH]")
    return url


def shown_url(url: str) -> str:
    """Return a URL as it may be shown, also one that is none."""
    try:
        if "://" in url:
            return stable_url(url)
    except ValueError:
        pass
    return url.rpartition("@")[2].partition("?")[0]


def without_secrets(text: str) -> str:
    """Return a text with each URL in it as it may be shown."""
    if "://" not in text:
        return text
    return _URL.sub(lambda url: shown_url(url[0]) if re.search("[@?]", url[0]) else url[0], text)


def asked_wait(text: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks to wait; None where it says none.

    It is a number or a date (RFC 9110, 10.2.3); ``now`` is the time in seconds since 1970.
    """
    text = (text or "").strip()
    if re.fullmatch(r"[0-9]{1,8}(\.[0-9]+)?", text):
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError):
        return None
