"""Sending to one receiver: again and again, until it takes the request or refuses it for good.

A receiver that is away gets eight requests in each pause at most, since each holds its place while it waits. What nobody
took within a day is given up, as older things are history everywhere else. Nothing that is logged or raised here
holds an address, a secret or what was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import stamina

from sinks.alerts.request import Receiver, Request, retry_after, verdict

log = logging.getLogger(__name__)

AT_ONCE = 8
ANSWER_WITHIN_S = 10.0
GIVE_UP_AFTER_S = 86_400.0
LONGEST_PAUSE_S = 30.0
ANSWER_SHOWN = 200
"""How much of an answer is told, characters."""
MOST_READ = 4096


@dataclass(frozen=True)
class Refused:
    """What was not taken. reason: `refused`, with the HTTP status, or `gave_up`; message: the receiver's own words."""

    reason: str
    status: int
    message: str


@dataclass
class Counts:
    """What was done since the start, for one receiver. told: by what; refused: by reason."""

    told: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    told_again: int = 0


class Later(Exception):
    """Not now. after: seconds that the receiver asks to wait. The text says what happened."""

    def __init__(self, message: str, after: float | None = None, status: int = 0) -> None:
        super().__init__(message)
        self.after, self.status = after, status


class Sender:
    """Sends to one receiver. wall: microseconds. To be used as an asynchronous context manager."""

    def __init__(
        self,
        name: str,
        receiver: Receiver,
        wall: Callable[[], int],
        *,
        ca_file: Path | None = None,
        answer_within: float = ANSWER_WITHIN_S,
    ) -> None:
        self.counts = Counts()
        self.away = False
        self._name, self._receiver, self._wall = name, receiver, wall
        self._ca_file, self._answer_within = ca_file, answer_within
        self._places = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Sender:
        # What the system trusts, or who is named: hosts' names are always checked.
        tls = ssl.create_default_context(cafile=self._ca_file)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._answer_within),
            connector=aiohttp.TCPConnector(ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, post: Callable[[], Request], taken: Callable[[], None], wire: asyncio.Lock | None = None
    ) -> Refused | None:
        """Send until it is taken; or why it was not. post makes the request anew for each attempt.

        taken: called at once when it was. wire: held for the time of each attempt, so that no two overtake each other.
        """

        def again(error: Exception) -> bool | float:
            if not isinstance(error, Later):
                return False
            self.counts.retries += 1
            self._note(str(error))
            return True if error.after is None else error.after

        refused = None
        async with self._places:
            try:
                async for attempt in stamina.retry_context(
                    on=again,
                    attempts=None,
                    timeout=GIVE_UP_AFTER_S,
                    wait_initial=0.2,
                    wait_max=LONGEST_PAUSE_S,
                ):
                    with attempt:
                        async with wire or contextlib.nullcontext():
                            refused = await self.attempt(post, taken)
            except Later as e:
                return Refused("gave_up", e.status, str(e))
        if self.away:
            self.away = False
            log.info("%s takes requests again", self._name)
        return refused

    async def attempt(self, post: Callable[[], Request], taken: Callable[[], None] = lambda: None) -> Refused | None:
        """Send once; or why it was refused. Raises Later."""
        assert self._session is not None
        request = post()
        try:
            async with self._session.post(
                request.url, data=request.body, headers=request.headers, allow_redirects=False
            ) as answer:
                status, asked = answer.status, answer.headers.get("Retry-After")
                said = await answer.content.read(MOST_READ)
        except (aiohttp.ClientError, OSError) as e:  # TimeoutError is one of these
            raise Later(f"no answer: {type(e).__name__}") from None
        text = self._clean(said)
        match verdict(status):
            case "taken":
                taken()
                return None
            case "refused":
                return Refused("refused", status, text)
            case _:
                raise Later(f"answered {status}: {text}", retry_after(asked, self._wall()), status)

    def _note(self, why: str) -> None:
        if not self.away:
            self.away = True
            log.warning("%s does not take requests now, trying again, Kafka keeps what comes: %s", self._name, why)

    def _clean(self, said: bytes) -> str:
        """The beginning of an answer on one line; a receiver may repeat what it was sent."""
        text = said.decode("utf-8", "replace")
        if self._receiver.secret:
            text = text.replace(self._receiver.secret, "***")
        return "".join(c if c.isprintable() else " " for c in text[:ANSWER_SHOWN]).strip()
