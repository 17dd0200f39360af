"""The routes file: who is told of what. TOML; what is wrong with it is told with file, line, key and what was expected.

A receiver is told of what any route that names it lets through. Secrets are not in the file: it names the
environment variable, or the file, that holds them. They are read once, at the start.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from schemas.friction import SEVERITY_NUMBER, Severity
from schemas.problems import Problems
from schemas.times import format_duration, parse_duration
from schemas.touchpoint import Id, Word
from sinks.alerts.alertmanager import Alertmanager
from sinks.alerts.incidents import Friction, StormRule
from sinks.alerts.pagerduty import URL, PagerDuty
from sinks.alerts.request import Receiver
from sinks.alerts.webhook import Webhook, key


class RoutesError(ValueError):
    """A routes file that cannot be used; the message names file, line, key and what was expected."""


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        )
    except ValueError:
        good = False
    if not good:
        raise ValueError("expected an address such as https://alerts.example:9093, without a login in it")
    return value


def _storm(value: object) -> object:
    if value is True:
        raise ValueError('expected false, or a table such as { more_than = 20, within = "5m" }')
    return None if value is False else value


Url = Annotated[str, AfterValidator(_url)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StormTable(_Table):
    """When incidents of one groupkey are told as one."""

    more_than: Annotated[int, Field(ge=1, le=1000)] = 20
    within: Annotated[int, BeforeValidator(parse_duration), Field(gt=0)] = 300_000_000


class _Told(_Table):
    secret_env: Annotated[str, StringConstraints(min_length=1)] | None = None
    secret_file: Path | None = None
    ca_file: Path | None = None
    storm: Annotated[StormTable | None, BeforeValidator(_storm)] = StormTable()


class AlertmanagerTable(_Told):
    """`[receivers.NAME]`, type alertmanager. secret: a bearer token, where it asks for one."""

    type: Literal["alertmanager"]
    url: Url


class PagerDutyTable(_Told):
    """`[receivers.NAME]`, type pagerduty. secret: the integration key of the service."""

    type: Literal["pagerduty"]
    url: Url = URL


class WebhookTable(_Told):
    """`[receivers.NAME]`, type webhook. secret: what its requests are signed with."""

    type: Literal["webhook"]
    url: Url


class Route(_Table):
    """`[[routes]]`: to whom, and of what. severity: this and above; empty lists: all."""

    to: Annotated[list[Name], Field(min_length=1)]
    kinds: list[Word] = []
    severity: Severity = "info"
    queues: list[Id] = []

    def takes(self, friction: Friction) -> bool:
        """Whether a friction goes this way."""
        data = friction.data
        return (
            (not self.kinds or data.kind in self.kinds)
            and SEVERITY_NUMBER[data.severity] >= SEVERITY_NUMBER[self.severity]
            and (not self.queues or data.queue in self.queues)
        )


class _Tables(_Table):
    receivers: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    routes: Annotated[list[Route], Field(min_length=1)]


@dataclass(frozen=True)
class Told:
    """A receiver, what goes to it, and when that is too much at once. ca_file: who signed its certificate."""

    name: str
    receiver: Receiver
    routes: tuple[Route, ...]
    storms: StormRule | None
    ca_file: Path | None = None

    def wants(self, friction: Friction) -> bool:
        """Whether any of its routes lets a friction through."""
        return any(route.takes(friction) for route in self.routes)

    def words(self) -> str:
        """What it is told, in one line."""
        ways = []
        for route in self.routes:
            queues = f" in {', '.join(route.queues)}" if route.queues else ""
            above = "" if route.severity == "critical" else " and above"
            ways.append(f"{', '.join(route.kinds) or 'every kind'}{queues}, {route.severity}{above}")
        storms = "no storms"
        if self.storms is not None:
            storms = f"a storm at more than {self.storms.more_than} within {format_duration(self.storms.within)}"
        return f"{self.name}: {type(self.receiver).__name__}; {'; '.join(ways)}; {storms}"


_TABLES = {"alertmanager": AlertmanagerTable, "pagerduty": PagerDutyTable, "webhook": WebhookTable}


def parse_routes(
    text: str, name: str, kinds: Collection[str], environment: Mapping[str, str], folder: Path
) -> list[Told]:
    """Receivers from the text of a TOML file. kinds: of friction; folder: where secret files are looked for.

    Raises RoutesError, also for secrets that are not there.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise RoutesError(f"{name}: not TOML: {e}") from None
    found = _Found(Problems(text, name), environment, folder)
    judged = found.problems.judged(_Tables, tables, ())
    told = found.receivers(judged, kinds) if judged is not None else []
    if found.problems.lines:
        raise RoutesError("\n".join(found.problems.lines))
    return told


@dataclass(frozen=True)
class _Found:
    problems: Problems
    environment: Mapping[str, str]
    folder: Path

    def receivers(self, tables: _Tables, kinds: Collection[str]) -> list[Told]:
        for n, route in enumerate(tables.routes):
            for unknown in sorted(set(route.kinds) - set(kinds)):
                expected = f"expected some of {', '.join(sorted(kinds))}"
                self.problems.add(("routes", n, "kinds"), f'there is no kind "{unknown}"; {expected}')
            for nobody in sorted(set(route.to) - tables.receivers.keys()):
                expected = f"expected some of {', '.join(sorted(tables.receivers))}"
                self.problems.add(("routes", n, "to"), f'there is no receiver "{nobody}"; {expected}')
        return [told for each in tables.receivers.items() if (told := self._told(*each, tables.routes)) is not None]

    def _told(self, name: str, table: dict[str, Any], routes: list[Route]) -> Told | None:
        path = ("receivers", name)
        model = _TABLES.get(str(table.get("type")))
        if model is None:
            self.problems.add((*path, "type"), f"expected one of {', '.join(_TABLES)}")
            return None
        judged = self.problems.judged(model, table, path)
        if judged is None:
            return None
        own = tuple(route for route in routes if name in route.to)
        if not own:
            self.problems.add(path, f'no route leads to it; expected to = ["{name}"] in one of [[routes]]')
        secret = self._secret(judged, path)
        if judged.ca_file is not None and not (self.folder / judged.ca_file).is_file():
            self.problems.add((*path, "ca_file"), f"expected a readable file; {judged.ca_file} is none")
        storms = None if judged.storm is None else StormRule(judged.storm.more_than, judged.storm.within)
        ca_file = None if judged.ca_file is None else self.folder / judged.ca_file
        return Told(name, _receiver(judged, secret), own, storms, ca_file)

    def _secret(self, table: _Told, path: tuple[str, str]) -> str:
        """What the file only names."""
        if table.secret_env is not None and table.secret_file is not None:
            self.problems.add((*path, "secret_file"), "expected secret_env or secret_file, not both")
            return ""
        if table.secret_env is not None:
            secret = self.environment.get(table.secret_env, "").strip()
            if not secret:
                self.problems.add((*path, "secret_env"), f"the environment has no {table.secret_env}; expected it set")
        elif table.secret_file is not None:
            secret = self._text(table.secret_file, path)
        elif isinstance(table, AlertmanagerTable):
            return ""
        else:
            of = "the integration key" if isinstance(table, PagerDutyTable) else "what requests are signed with"
            self.problems.add(path, f"expected secret_env or secret_file, that names where {of} is")
            return ""
        where = (*path, "secret_env" if table.secret_env is not None else "secret_file")
        if isinstance(table, WebhookTable) and secret:
            try:
                key(secret)
            except ValueError as e:
                self.problems.add(where, str(e))
        if "\n" in secret or "\r" in secret:
            self.problems.add(where, "expected one line")
        return secret

    def _text(self, file: Path, path: tuple[str, str]) -> str:
        try:
            secret = (self.folder / file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            why = e.strerror if isinstance(e, OSError) else "is not text"
            self.problems.add((*path, "secret_file"), f"expected a readable file; {file}: {why}")
            return ""
        if not secret:
            self.problems.add((*path, "secret_file"), f"expected a secret in {file}; it is empty")
        return secret


def _receiver(table: _Told, secret: str) -> Receiver:
    match table:
        case AlertmanagerTable(url=url):
            return Alertmanager(url, secret)
        case WebhookTable(url=url):
            return Webhook(url, secret)
        case PagerDutyTable(url=url):
            return PagerDuty(secret, url)
    raise TypeError(table)
