"""Twelve Labs' service through its SDK: pace, patience, and errors in one line.

The SDK's own retries are not used: they drop the fields of multipart requests and never repeat
a lost connection. The answer is read from the HTTP response itself, because the SDK refuses to
parse some answers of the service that have been paid for; what the SDK adds is the requests.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from vidrec.config import clean_key
from vidrec.embedders.marengo.replies import Reply, clean
from vidrec.errors import AccountError, ConfigError, JobError, QuotaError, TransientError
from vidrec.urls import checked_endpoint, shown_url

if TYPE_CHECKING:
    from vidrec.config import MarengoSettings

KEY_VARIABLES = ("TWELVE_LABS_API_KEY", "TWELVELABS_API_KEY")
BASE_URL = "https://api.twelvelabs.io/v1.3"
ATTEMPTS = 8
LONGEST_WAIT = 60.0  # between two attempts, where the service says nothing
QUOTA_CODES = ("usage_limit_exceeded",)
PLAN_CODES = ("api_allowed_for_paid_plan", "api_not_allowed", "region_not_allowed")


class Unsure(TransientError):
    """The service may or may not have done what it was asked for."""


class Gone(TransientError):
    """The service no longer knows what was asked for."""


class Stopped(Exception):
    """The run is to end; nothing is wrong."""


@dataclass(slots=True)
class Clock:
    """Time as the client sees it; tests hand in another.

    ``now`` is written down and compared with the service's; it jumps when somebody sets the
    clock. What is waited for is measured by ``steady``, which never does.
    """

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    stopped: Callable[[], bool] = lambda: False
    steady: Callable[[], float] = time.monotonic

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than the run goes on.

        Raises:
            Stopped: the run is to end.
        """
        until = self.steady() + seconds
        while not self.stopped():
            left = until - self.steady()
            if left <= 0:
                return
            self.sleep(min(left, 0.25))
        raise Stopped


class Pace:
    """Spaces requests evenly, so that no minute sees more than ``rpm`` of them."""

    def __init__(self, rpm: int, clock: Clock) -> None:
        # A little wider: requests that were held up on their way must not crowd a minute.
        self._gap = 1.02 * 60.0 / rpm
        self._clock = clock
        self._next = 0.0
        self._turn = threading.Lock()

    def wait(self) -> None:
        """Wait for the next free place. The gap counts from when the last one was let go."""
        with self._turn:
            while (early := self._next - self._clock.steady()) > 0:
                self._clock.wait(early)
            self._next = max(self._next, self._clock.steady() + self._gap)

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so long, those who wait included: the service has had enough."""
        self._next = max(self._next, self._clock.steady() + seconds)


def api_key(settings: MarengoSettings) -> str:
    """Return the key, checked: a stray character would end up in an exception's text.

    Raises:
        ConfigError: there is none, or it is malformed.
    """
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    for name in KEY_VARIABLES:
        key = key or os.environ.get(name, "")
    try:
        key = clean_key(SecretStr(key)).get_secret_value()
    except ValueError as exc:
        raise ConfigError(f"Twelve Labs: {exc}") from None
    if not key:
        raise ConfigError(
            "no Twelve Labs API key: set VIDREC_MARENGO_API_KEY (or TWELVE_LABS_API_KEY)"
        )
    return key


class Service:
    """The calls that vidrec makes. Safe to share between threads."""

    def __init__(self, settings: MarengoSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.pace = Pace(settings.rpm, clock)
        self._local = threading.local()
        self._key = api_key(settings)
        self._client: Any = None
        self._http: Any = None
        self._host = ""
        self._mutex = threading.Lock()
        self._known = False  # whether it has answered as Twelve Labs does
        self.where = shown_url(self._checked_url())

    def _checked_url(self) -> str:
        """Return the service's address; the SDK takes the variable before its argument.

        Raises:
            ConfigError: it is none, or two are given.
        """
        override, wished = os.environ.get("TWELVELABS_BASE_URL"), self.settings.base_url
        if override and wished and override.rstrip("/") != wished.rstrip("/"):
            raise ConfigError(
                f"TWELVELABS_BASE_URL={shown_url(override)} would override [marengo] base_url "
                f"{shown_url(wished)}: unset one of them"
            )
        try:
            return checked_endpoint(override or wished or BASE_URL)
        except ValueError as exc:
            raise ConfigError(
                f"TWELVELABS_BASE_URL: {exc}. Received: {shown_url(override or '')}"
            ) from None

    def _refuse_strangers(self, reply: Reply, attempt: int) -> None:
        """Tell a wrong address at once: what answers there has not answered as it should yet.

        Raises:
            ConfigError: something else answers.
            TransientError: nothing can be reached.
        """
        self._known = self._known or isinstance(reply.body, dict)
        if self._known:
            return
        mend = "check the network and [marengo] base_url"
        if attempt and reply.lost and not reply.sent:
            raise TransientError(f"cannot reach Twelve Labs at {self.where} ({reply.lost}): {mend}")
        page = "html" in reply.headers.get("content-type", "") and reply.status not in (408, 429)
        if (page and 300 <= reply.status < 500) or (attempt and 200 <= reply.status < 300):
            raise ConfigError(
                f"what answers at {self.where} is not Twelve Labs (HTTP {reply.status}): {mend}"
            )

    @property
    def sdk(self) -> Any:
        """The SDK's client, made on first use."""
        with self._mutex:
            if self._client is None:
                import httpx
                from twelvelabs import TwelveLabs

                self._http = httpx.Client(
                    timeout=httpx.Timeout(self.settings.timeout_sec, connect=8.0),
                    follow_redirects=True,
                    event_hooks={"request": [self._keep_key], "response": [self._capture]},
                    limits=httpx.Limits(max_connections=self.settings.jobs + 4),
                )
                self._client = TwelveLabs(
                    api_key=self._key,
                    base_url=self.settings.base_url,
                    httpx_client=self._http,
                    timeout=self.settings.timeout_sec,
                )
            return self._client

    def _keep_key(self, request: Any) -> None:
        """Send the key to no other host, also where the service redirects to one."""
        self._host = self._host or request.url.host
        if request.url.host != self._host:
            request.headers.pop("x-api-key", None)

    def _capture(self, response: Any) -> None:
        response.read()
        try:
            body = response.json()
        except ValueError:
            body = None
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._local.reply = Reply(response.status_code, body, headers)

    def call(self, what: str, request: Callable[[Any], object], *, paid: bool = False) -> Any:
        """Make a request with patience and return the answer's JSON.

        Args:
            what: a few words for messages ("embed a text").
            request: makes one call of the SDK.
            paid: repeating might pay twice: only what the service refused before doing any
                work is repeated, and anything else that is unclear is ``Unsure``.

        Raises:
            QuotaError: the service wants no more for now.
            JobError: it refuses this request.
            Gone: it does not know what was asked for.
            Unsure: it may have done paid work.
            TransientError: it failed again and again.
            AccountError: the key or the plan is wrong.
            Stopped: the run is to end.
        """
        begun = self.clock.steady()
        reply = Reply()
        for attempt in range(ATTEMPTS):
            self.pace.wait()
            reply = self._send(request)
            if reply.ok:
                spent = reply.spent(self.clock.now())
                if 0 < spent <= self.settings.patience_sec:
                    self.pace.hold(spent)
                return reply.body
            self._refuse_strangers(reply, attempt)
            self._refuse(what, reply)
            if paid and not reply.refused_before_work:
                raise Unsure(f"Twelve Labs gave no clear answer to {what}: {self._words(reply)}")
            asked = reply.pause(self.clock.now())
            wait = (
                asked
                if asked is not None
                else random.uniform(0.5, 1.0) * min(LONGEST_WAIT, 2**attempt)
            )
            if asked is not None and asked > self.settings.patience_sec:
                raise self._quota(asked)
            if self.clock.steady() + wait - begun > self.settings.patience_sec:
                break
            if reply.status == 429:
                self.pace.hold(wait)
            else:
                self.clock.wait(wait)
        if reply.status == 429:
            raise self._quota(None)
        raise TransientError(
            f"Twelve Labs does not manage to {what}: {self._words(reply)}; run again later"
        )

    def _send(self, request: Callable[[Any], object]) -> Reply:
        import httpx
        import pydantic
        from twelvelabs.core.api_error import ApiError

        sdk = self.sdk
        self._local.reply = None
        try:
            request(sdk)
        except (ApiError, pydantic.ValidationError, ValueError):
            # The response itself was kept; a body that the SDK cannot parse is judged there.
            if self._local.reply is None:
                raise
        except httpx.HTTPError as exc:
            sent = not isinstance(
                exc, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
            )
            return Reply(lost=f"{type(exc).__name__}: {clean(str(exc))}", sent=sent)
        reply: Reply = self._local.reply
        return reply

    def _refuse(self, what: str, reply: Reply) -> None:
        """Raise what no repetition can mend."""
        if reply.code in QUOTA_CODES:
            raise QuotaError(
                f"the credit of this Twelve Labs account is used up ({reply.message}): see the "
                "plan on playground.twelvelabs.io; what is done is kept"
            )
        if reply.worth_repeating:
            return
        if reply.status == 401:
            raise AccountError(
                f"Twelve Labs refuses the API key ({reply.message}): check VIDREC_MARENGO_API_KEY"
            )
        if reply.status == 403 and reply.code != "read_not_allowed":
            raise AccountError(f"this Twelve Labs account may not {what}: {reply.message}")
        if reply.code in PLAN_CODES:
            raise AccountError(f"the Twelve Labs plan does not allow to {what}: {reply.message}")
        if reply.status == 404:
            raise Gone(f"Twelve Labs does not know it any more: {reply.message}")
        code = f"{reply.code}: " if reply.code and reply.code not in reply.message else ""
        raise JobError(f"Twelve Labs refuses to {what}: {code}{reply.message}")

    def _words(self, reply: Reply) -> str:
        return reply.lost or f"HTTP {reply.status}, {reply.message}"

    def _quota(self, seconds: float | None) -> QuotaError:
        if seconds is None:
            when = "come back later, or lower --rpm"
        else:
            at = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.clock.now() + seconds))
            when = f"come back at {at}"
        return QuotaError(f"the rate limit of this Twelve Labs account is reached: {when}")

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()
        self._client = self._http = None
