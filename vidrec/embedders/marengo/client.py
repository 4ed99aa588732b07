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
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from vidrec.embedders.marengo.pace import Clock, Pace
from vidrec.embedders.marengo.replies import Reply, clean
from vidrec.errors import (
    AccountError,
    ConfigError,
    JobError,
    OutageError,
    QuotaError,
    TransientError,
)
from vidrec.reach import waiting
from vidrec.sections import clean_key
from vidrec.urls import checked_endpoint, shown_url

if TYPE_CHECKING:
    from vidrec.sections import MarengoSettings

KEY_VARIABLES = ("TWELVE_LABS_API_KEY", "TWELVELABS_API_KEY")
BASE_URL = "https://api.twelvelabs.io/v1.3"
ATTEMPTS = 8  # where the service fails; a busy one is asked as long as patience lasts
LONGEST_WAIT = 60.0  # between two attempts, where the service says nothing
OUTAGE = 3  # so many requests in a row that came to nothing end the run
SILENT_SECONDS = 2.0  # longer waits are told
TELL_SECONDS = 30.0  # between two lines about the same kind of thing
QUOTA_CODES = ("usage_limit_exceeded",)
PLAN_CODES = ("api_allowed_for_paid_plan", "api_not_allowed", "region_not_allowed")


class Unsure(TransientError):
    """The service may or may not have done what it was asked for."""


class Gone(TransientError):
    """The service no longer knows what was asked for."""


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

    def __init__(
        self,
        settings: MarengoSettings,
        clock: Clock,
        pace_file: Path | None = None,
        say: Callable[[str], None] = lambda words: None,
    ) -> None:
        """Check the key; ``pace_file`` is shared with other processes, ``say`` told of waits."""
        self.settings = settings
        self.clock = clock
        self.pace = Pace(settings.rpm, clock, pace_file)
        self._say = say
        self._told: dict[str, float] = {}
        self._unanswered = 0  # requests in a row that were given up
        self._gave_up = 0.0
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

    def _refuse_strangers(self, reply: Reply, retries: int) -> None:
        """Tell a wrong address at once: what answers there has not answered as it should yet.

        Raises:
            ConfigError: something else answers.
            TransientError: nothing can be reached.
        """
        self._known = self._known or isinstance(reply.body, dict)
        if self._known:
            return
        mend = "check the network and [marengo] base_url"
        if retries and reply.lost and not reply.sent:
            self._give_up()
            raise TransientError(f"cannot reach Twelve Labs at {self.where} ({reply.lost}): {mend}")
        kind = reply.headers.get("content-type", "")
        page = "html" in kind and reply.status not in (408, 429)
        strange = "json" not in kind and 200 <= reply.status < 300
        if (page and 300 <= reply.status < 500) or (retries and strange):
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
        self._local.reply = Reply(response.status_code, body, headers, key=self._key)

    def call(self, what: str, request: Callable[[Any], object], *, paid: bool = False) -> Any:
        """Make a request with patience and return the answer's JSON.

        A busy service is waited for as long as ``patience_sec``; one that fails is asked
        ``ATTEMPTS`` times. Whoever is told how long to wait makes all wait.

        Args:
            what: a few words for messages ("embed a text").
            request: makes one call of the SDK.
            paid: repeating might pay twice: only what the service refused before doing any
                work is repeated, and anything else that is unclear is ``Unsure``.

        Raises:
            QuotaError: the service wants no more for now.
            OutageError: it does not answer at all.
            JobError: it refuses this request.
            Gone: it does not know what was asked for.
            Unsure: it may have done paid work.
            TransientError: it failed again and again.
            AccountError: the key or the plan is wrong.
            Stopped: the run is to end.
        """
        patience = self.settings.patience_sec
        until = 0.0  # by the steady clock: when patience ends, once something failed
        for attempt in count(1):
            self._refuse_in_outage()
            self.pace.wait(self._tell_pace)
            reply = self._send(request)
            if reply.ok:
                self._unanswered = 0
                spent = reply.spent(self.clock.now())
                if 0 < spent <= patience:
                    self.pace.hold(spent)
                return reply.body
            self._refuse_strangers(reply, attempt - 1)
            self._refuse(what, reply)
            if paid and not reply.refused_before_work:
                raise Unsure(f"Twelve Labs gave no clear answer to {what}: {self._words(reply)}")
            now = self.clock.steady()
            until = until or now + patience
            asked = reply.pause(self.clock.now())
            if asked is not None and asked > patience:
                raise self._come_back(reply, asked)
            wait = random.uniform(0.5, 1.0) * min(LONGEST_WAIT, 2 ** min(attempt - 1, 10))
            wait = wait if asked is None else asked
            busy = asked is not None or reply.status == 429
            if now + wait > until or (attempt >= ATTEMPTS and not busy):
                break
            self._tell_failure(what, attempt, reply, wait, until)
            if busy:
                self.pace.hold(wait)
            else:
                self.clock.wait(wait)
        if reply.status == 429:
            raise self._come_back(reply, None)
        self._give_up()
        raise TransientError(
            f"Twelve Labs does not manage to {what}: {self._words(reply)}; run again later"
        )

    # What is waited for is told, each kind of thing once in a while

    def tell(self, kind: str, words: str) -> None:
        """Say in one line what is waited for, unless that kind of thing was said just now."""
        now = self.clock.steady()
        with self._mutex:
            if now < self._told.get(kind, -TELL_SECONDS) + TELL_SECONDS:
                return
            self._told[kind] = now
        self._say(words)

    def _tell_pace(self, seconds: float) -> None:
        if seconds >= SILENT_SECONDS:
            self.tell("pace", f"waiting {seconds:.0f} s for Twelve Labs' rate limit (or --rpm)")

    def _tell_failure(self, what: str, tries: int, reply: Reply, wait: float, until: float) -> None:
        now = self.clock.steady()
        failing = now - until + self.settings.patience_sec + wait
        if failing < SILENT_SECONDS:
            return
        end = time.strftime("%H:%M:%S", time.localtime(self.clock.now() + until - now))
        times = "once" if tries == 1 else f"{tries} times"
        self.tell(
            "failure",
            f"Twelve Labs: {self._words(reply)}. Tried {times} to {what}; trying again in "
            f"{wait:.0f} s, until {end} at most",
        )

    def _send(self, request: Callable[[Any], object]) -> Reply:
        import httpx
        import pydantic
        from twelvelabs.core.api_error import ApiError

        sdk = self.sdk
        self._local.reply = None
        try:
            with waiting(partial(self.tell, "answer"), f"Twelve Labs ({self.where})"):
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
        if reply.status >= 500:
            raise OutageError(
                f"what answers for Twelve Labs cannot {what} (HTTP {reply.status}): check "
                "[marengo] base_url"
            )
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

    def _come_back(self, reply: Reply, seconds: float | None) -> QuotaError | OutageError:
        when = "come back later, or lower --rpm"
        if seconds is not None:
            at = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.clock.now() + seconds))
            when = f"come back at {at}"
        if reply.status == 429:
            return QuotaError(f"the rate limit of this Twelve Labs account is reached: {when}")
        return OutageError(f"Twelve Labs is not to be had now ({self._words(reply)}): {when}")

    def _give_up(self) -> None:
        with self._mutex:
            self._unanswered += 1
            self._gave_up = self.clock.steady()

    def _refuse_in_outage(self) -> None:
        """Ask nothing more of a service that does not answer; after a minute ask once again."""
        if self._unanswered < OUTAGE:
            return
        if self.clock.steady() - self._gave_up > LONGEST_WAIT:
            self._unanswered = OUTAGE - 1
            return
        raise OutageError(
            f"Twelve Labs has not answered {OUTAGE} requests in a row, each tried again and "
            "again: run again later; what is done is kept"
        )

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()
        self._client = self._http = None
