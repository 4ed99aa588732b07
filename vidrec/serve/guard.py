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
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vidrec.config import Settings
from vidrec.serve.problems import Problem, problem_of
from vidrec.serve.rates import Rates
from vidrec.serve.served import places_of

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


class Guard:
    """Lets requests through to the application."""

    def __init__(
        self, app: ASGIApp, settings: Settings, seen: Callable[[str, int, float], None]
    ) -> None:
        """Go by ``[serve]``; ``seen`` is told route, status and seconds of each request."""
        serve = settings.serve
        self._app, self._seen, self._places = app, seen, places_of(settings)
        self._root, self._origins = serve.root_path, frozenset(serve.cors_origins)
        self._token = serve.token.get_secret_value() if serve.token else None
        self._hosts = {*LOOPBACK, *map(str.lower, (serve.host, *serve.allowed_hosts))}
        self._body = serve.upload_mb * 1_000_000
        # A page asks for a card's poster and preview, and a player for pieces of a video.
        self._questions, self._files = Rates(serve.rate), Rates(20 * serve.rate)
        self._failures = Rates(20 if serve.rate else 0)
        headers = {**HEADERS, "content-security-policy": policy(settings.s3.endpoint_url)}
        if not self._origins:
            headers["cross-origin-resource-policy"] = "same-origin"
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # the server is told to speak nothing else
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
                await self._app(scope, self._bounded(scope, headers, receive), answer)
            else:
                await passed(scope, receive, answer)
        except Exception as exc:
            if status and not ended:
                raise  # the answer has begun: only its end can tell that something is wrong
            if not status:
                await problem_of(exc, self._places).response()(scope, receive, answer)
        finally:
            route = scope.get("route")
            self._seen(getattr(route, "path", "none"), status, time.monotonic() - started)

    def _below_root(self, scope: Scope) -> Scope:
        """Return the scope with the path as it is without a proxy."""
        root = self._root
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
            return RedirectResponse(f"{self._root}/", 308)
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
        if host is None or (host not in self._hosts and host != str(own[0]).lower()):
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
        if origin is not None and origin in self._origins:
            return origin
        bearer = "authorization" in headers
        writes = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        site = headers.get("sec-fetch-site", "none")
        if origin is None:
            link = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
            foreign = site not in ("same-origin", "none") and not (link and not writes)
            # Every browser tells where a post comes from; a cookie alone proves nothing.
            foreign = foreign or (writes and bool(self._token) and not bearer)
        else:
            foreign = origin_host(origin) != (headers.get("host") or "").lower()
        if foreign:
            raise Problem(403, "auth", "another site may not ask here: see [serve] cors_origins")
        return None

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        token = self._token
        if token is None:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and same(given.strip(), token):
            return
        cookies = cookie_parser(headers.get("cookie", ""))
        if same(cookies.get(cookie_name(scope), ""), cookie_value(token)):
            return
        self._failures.take(client_of(scope))
        raise Problem(
            401, "auth", "open the link with ?token=…, or send it: Authorization: Bearer …",
            {"WWW-Authenticate": "Bearer"},
        )  # fmt: skip

    def _by_link(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the redirection that sets the cookie, for the link with the token."""
        token = self._token
        if scope["path"] != "/" or scope["method"] != "GET" or token is None:
            return None
        asked = QueryParams(scope["query_string"])
        given = asked.get("token")
        if given is None:
            return None
        if not same(given, token):
            self._failures.take(client_of(scope))
            raise Problem(401, "auth", "the link's token is not this server's")
        rest = urlencode([(name, value) for name, value in asked.multi_items() if name != "token"])
        response = RedirectResponse(
            f"{self._root}/" + (f"?{rest}" if rest else ""),
            303,
            {"Cache-Control": "no-store"},
        )
        response.set_cookie(
            cookie_name(scope), cookie_value(token), max_age=COOKIE_SECONDS,
            path=self._root or "/",
            httponly=True, samesite="strict", secure=scope.get("scheme") == "https",
        )  # fmt: skip
        return response

    def _check_rate(self, scope: Scope, path: str) -> None:
        question = path.startswith(QUESTIONS) or path.endswith("/similar")
        (self._questions if question else self._files).take(client_of(scope))

    # What it costs to be sent something

    def _bounded(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """Return what receives the body, as long as that is neither too large nor too slow."""
        files = headers.get("content-type", "").lower().startswith("multipart/form-data")
        most = self._body if files else PLAIN_BODY
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
        if not self._origins:
            return self._headers
        origin = headers.get("origin", "")
        extra = [*self._headers, (b"vary", b"Origin")]
        if origin in self._origins:
            extra.append((b"access-control-allow-origin", origin.encode("latin-1")))
        return extra


def too_large(most: int) -> Problem:
    return Problem(413, "too_large", f"more than {most / 1e6:.1f} MB were sent: that is too much")


def policy(endpoint: str | None) -> str:
    """Return the content security policy: nothing but our own files, nothing inline.

    Videos may also come from anywhere by HTTPS, and from S3's endpoint.
    """
    parts = urlsplit(endpoint or "")
    own = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    return (
        f"default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: https:{own}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
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
