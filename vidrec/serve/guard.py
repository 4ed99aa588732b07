"""The guard: what every request has to pass before anything is done for it.

In this order: the name it was sent to (so that no page can reach a server of this machine through
a name of its own: DNS rebinding), the page it comes from, the token, the rate, the size and the
time of its body. It also sets the headers that keep a browser from being misled by an answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response

from vidrec.serve.problems import Problem, problem_of
from vidrec.serve.rates import Rates

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN = frozenset({"/healthz"})  # without a token
# So are the page's own files, which tell nothing of the library: a link from another site comes
# without the cookie, and the page then asks by itself.
PAGE = "/page/"
QUESTIONS = ("/api/recommend", "/api/suggest")
PLAIN_BODY = 64 << 10  # bytes of a body without files
BODY_SECONDS = 60.0  # in which a body has to come, and
PAUSE_SECONDS = 10.0  # how long nothing of it may come
COOKIE_SECONDS = 30 * 24 * 3600
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the guard goes by.

    Attributes:
        token: what lets in; None lets everybody in.
        hosts: names under which the server may be asked; its own addresses may always.
        origins: pages of other origins that may read answers.
        media: origins from which videos may be played, beside the server's own.
        body: bytes that a body with files may have.
        rate: questions a minute from one client; 0 for no limit.
        places: folders that no answer names.
        root: the path under which a proxy has the server, with or without taking it off.
    """

    token: str | None = None
    hosts: frozenset[str] = LOOPBACK
    origins: frozenset[str] = frozenset()
    media: tuple[str, ...] = ()
    body: int = PLAIN_BODY
    rate: int = 0
    places: tuple[Path, ...] = ()
    root: str = ""


@dataclass(slots=True)
class Guard:
    """Lets requests through to the application."""

    app: App
    rules: Rules
    seen: Callable[[str, int, float], None] = lambda route, status, seconds: None
    _questions: Rates = field(init=False)
    _files: Rates = field(init=False)
    _failures: Rates = field(init=False)
    _headers: list[tuple[bytes, bytes]] = field(init=False)

    def __post_init__(self) -> None:
        rate = self.rules.rate
        # A page asks for a card's poster and preview, and a player for pieces of a video.
        self._questions, self._files = Rates(rate), Rates(20 * rate)
        self._failures = Rates(20 if rate else 0)
        headers = {**HEADERS, "content-security-policy": policy(self.rules.media)}
        if not self.rules.origins:
            headers["cross-origin-resource-policy"] = "same-origin"
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # there is nothing else to speak
        scope = self._below_root(scope)
        started, status, ended = time.monotonic(), 0, False
        headers = Headers(scope=scope)

        async def answer(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._extra(headers)]
            else:
                ended = not message.get("more_body")
            await send(message)

        try:
            passed = self._passed(scope, headers)
            if passed is None:
                await self.app(scope, self._bounded(scope, headers, receive), answer)
            else:
                await passed(scope, receive, answer)
        except Exception as exc:
            if status and not ended:
                raise  # the answer has begun: only its end can tell that something is wrong
            if not status:
                await problem_of(exc, self.rules.places).response()(scope, receive, answer)
        finally:
            route = scope.get("route")
            self.seen(getattr(route, "path", "none"), status, time.monotonic() - started)

    def _below_root(self, scope: Scope) -> Scope:
        """Return the scope with the path as it is without a proxy."""
        root = self.rules.root
        if not root or not (scope["path"] + "/").startswith(root + "/"):
            return scope
        path = scope["path"].removeprefix(root)
        raw = scope.get("raw_path", b"").removeprefix(root.encode())
        return {**scope, "path": path, "raw_path": raw}

    # What is let through

    def _passed(self, scope: Scope, headers: Headers) -> Response | None:
        """Return None where a request may go on, or the answer that it gets at once.

        Raises:
            Problem: it may not.
        """
        path: str = scope["path"]
        self._check_host(scope, headers)
        origin = self._check_origin(scope, headers)
        if scope["method"] == "OPTIONS" and origin and "access-control-request-method" in headers:
            allowed = {
                "access-control-allow-methods": "GET, POST",
                "access-control-allow-headers": "authorization, content-type",
                "access-control-max-age": "600",
            }
            return Response(status_code=204, headers=allowed)
        if path in OPEN:
            return None
        if not path:  # what the page asks for lies below it: its address ends in a slash
            return RedirectResponse(f"{self.rules.root}/", 308)
        by_link = self._by_link(scope, headers)
        if by_link is not None:
            return by_link
        if path != "/" and not path.startswith(PAGE):
            self._check_token(scope, headers)
        self._check_rate(scope, path)
        return None

    def _check_host(self, scope: Scope, headers: Headers) -> None:
        """Raise ``Problem`` where a request was sent to a name that is not ours.

        The address that a connection came in on is ours, whatever the server was bound to.
        """
        named = headers.getlist("host")
        host = host_of(named[0]) if len(named) == 1 else None
        own = scope.get("server") or ("", 0)
        if host is None or (host not in self.rules.hosts and host != str(own[0]).lower()):
            raise Problem(
                421, "usage",
                "this server is not asked under that name: add it to [serve] allowed_hosts",
            )  # fmt: skip

    def _check_origin(self, scope: Scope, headers: Headers) -> str | None:
        """Return the origin of another site that may ask, None where the page is our own.

        Raises:
            Problem: a page of another site asks; or something is to be changed, and it cannot be
                told by which page.
        """
        origin = headers.get("origin")
        if origin is not None and origin in self.rules.origins:
            return origin
        bearer = "authorization" in headers
        writes = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        site = headers.get("sec-fetch-site", "none")
        if origin is None:
            link = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
            foreign = site not in ("same-origin", "none") and not (link and not writes)
            # Every browser tells where a post comes from; a cookie alone proves nothing.
            foreign = foreign or (writes and bool(self.rules.token) and not bearer)
        else:
            foreign = origin_host(origin) != (headers.get("host") or "").lower()
        if foreign:
            raise Problem(403, "auth", "another site may not ask here: see [serve] cors_origins")
        return None

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        token = self.rules.token
        if token is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and same(given.strip(), token):
            return
        if same(self._cookie(scope, headers), cookie_value(token)):
            return
        self._failures.take(client_of(scope))
        raise Problem(
            401, "auth", "open the link with ?token=…, or send it: Authorization: Bearer …",
            {"WWW-Authenticate": "Bearer"},
        )  # fmt: skip

    def _by_link(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the redirection that sets the cookie, for the link with the token."""
        token = self.rules.token
        if scope["path"] != "/" or scope["method"] != "GET" or token is None:
            return None
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in asked if name == "token"]
        if not given:
            return None
        if not same(given[-1], token):
            self._failures.take(client_of(scope))
            raise Problem(401, "auth", "the link's token is not this server's")
        rest = urlencode([(name, value) for name, value in asked if name != "token"])
        response = RedirectResponse(
            f"{self.rules.root}/" + (f"?{rest}" if rest else ""),
            303,
            {"Cache-Control": "no-store"},
        )
        response.set_cookie(
            cookie_name(scope), cookie_value(token), max_age=COOKIE_SECONDS,
            path=self.rules.root or "/",
            httponly=True, samesite="strict", secure=scope.get("scheme") == "https",
        )  # fmt: skip
        return response

    @staticmethod
    def _cookie(scope: Scope, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(cookie_name(scope))
        except CookieError:
            return ""
        return found.value if found else ""

    def _check_rate(self, scope: Scope, path: str) -> None:
        question = path.startswith(QUESTIONS) or path.endswith("/similar")
        (self._questions if question else self._files).take(client_of(scope))

    # What it costs to be sent something

    def _bounded(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Return what receives the body, as long as that is neither too large nor too slow."""
        files = headers.get("content-type", "").lower().startswith("multipart/form-data")
        most = self.rules.body if files else PLAIN_BODY
        told = headers.get("content-length", "")
        if told.isdigit() and int(told) > most:
            raise too_large(most)
        got, done, until = 0, False, time.monotonic() + BODY_SECONDS

        async def bounded() -> Message:
            nonlocal got, done
            if done:
                return await receive()
            left = min(PAUSE_SECONDS, until - time.monotonic())
            try:
                message = await asyncio.wait_for(receive(), max(0.01, left))
            except (TimeoutError, asyncio.TimeoutError):
                closing = {"Connection": "close"}
                raise Problem(408, "usage", "the request came too slowly", closing) from None
            got += len(message.get("body", b""))
            if got > most:
                raise too_large(most)
            done = message["type"] != "http.request" or not message.get("more_body")
            return message

        return bounded

    def _extra(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        if not self.rules.origins:
            return self._headers
        origin = headers.get("origin", "")
        extra = [*self._headers, (b"vary", b"Origin")]
        if origin in self.rules.origins:
            extra.append((b"access-control-allow-origin", origin.encode("latin-1")))
        return extra


def too_large(most: int) -> Problem:
    return Problem(413, "too_large", f"more than {most / 1e6:.1f} MB were sent: that is too much")


def policy(media: Iterable[str]) -> str:
    """Return the content security policy: nothing but our own files, nothing inline."""
    films = " ".join(["media-src 'self' blob:", *media])
    return (
        f"default-src 'self'; img-src 'self' blob: data:; {films}; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def host_of(named: str) -> str | None:
    """Return the name of a Host header without its port, in small letters; None if it is none."""
    try:
        parts = urlsplit(f"//{named}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in named or not parts.hostname:
        return None
    return parts.hostname.rstrip(".")


def origin_host(origin: str) -> str | None:
    """Return the host and port of an origin of the web; None of any other."""
    scheme, _, host = origin.lower().partition("://")
    return host if scheme in ("http", "https") and host else None


def same(given: str, secret: str) -> bool:
    """Compare in a time that tells nothing of the secret."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def cookie_value(token: str) -> str:
    """Return what a cookie holds in place of the token: the token cannot be read from it."""
    return hmac.new(token.encode(), b"vidrec page", hashlib.sha256).hexdigest()


def cookie_name(scope: Scope) -> str:
    """A browser keeps cookies by host, whatever the port: two servers must not share one."""
    server = scope.get("server") or ("", 0)
    return f"vidrec-{server[1]}"


def client_of(scope: Scope) -> str:
    """Return what tells a client from another: its address; of IPv6 the network it is in."""
    address = str((scope.get("client") or ("", 0))[0])
    if address.count(":") > 1 and "." not in address:
        return ":".join(address.split(":")[:4])
    return address
