"""docs/alerting.md: what it shows is what is sent, what it tells to copy works, and every key has its words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from schemas.times import SECOND
from sinks.alerts.alertmanager import Alertmanager
from sinks.alerts.incidents import Change, Incidents, read
from sinks.alerts.pagerduty import PagerDuty
from sinks.alerts.routes import AlertmanagerTable, PagerDutyTable, Route, StormTable, WebhookTable, parse_routes
from sinks.alerts.webhook import Webhook
from tests.frictions import EXAMPLE
from tests.receivers import ROUTING_KEY
from volvere.rules_texts import MEANINGS

PAGE = (Path(__file__).parents[2] / "docs/alerting.md").read_text(encoding="utf-8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def blocks(language: str) -> list[str]:
    """The examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def opened() -> tuple[Change, int]:
    """The committed example of a friction as an incident that opens, and a second later."""
    (step,) = Incidents(lambda _: True).hear(*read(EXAMPLE.read_bytes()), 0, 0)
    return step.tell[0], step.tell[0].incident.at + SECOND


def test_the_examples_are_what_is_sent() -> None:
    """Whoever builds a rule or a receiver from the page builds it right."""
    change, now = opened()
    sent: list[Any] = [
        json.loads(receiver.request(change, now).body)
        for receiver in (Alertmanager("http://a"), PagerDuty(ROUTING_KEY))
    ]
    assert [json.loads(text) for text in blocks("json")] == sent
    example = EXAMPLE.parents[1] / "incidents/opened.json"
    request = Webhook("https://crm.example/hooks/volvere", SECRET).request(change, now)
    assert json.loads(example.read_text(encoding="utf-8")) == json.loads(request.body)
    (shown,) = blocks("http")
    assert all(f"{name}: {value}" in shown for name, value in request.headers.items())


def test_the_check_of_a_signature_is_right() -> None:
    """A receiver that copies it takes what we send, and nothing that was changed, is old, or that somebody else signed."""
    change, now = opened()
    request = Webhook("https://crm.example/hooks/volvere", SECRET).request(change, now)
    code: dict[str, Any] = {}
    exec(blocks("python")[0], code)

    def genuine(body: bytes = request.body, secret: str = SECRET, later: int = 0) -> bool:
        return bool(code["genuine"](request.headers, body, secret, lambda: now // SECOND + later))

    assert genuine()
    assert not genuine(request.body + b" ")
    assert not genuine(secret="another")
    assert not genuine(later=301)


def test_the_routes_file_is_taken(tmp_path: Path) -> None:
    """As it stands on the page, once its secrets are there."""
    (text,) = blocks("toml")
    (tmp_path / "pagerduty").write_text(ROUTING_KEY)
    text = text.replace("/run/secrets/pagerduty", str(tmp_path / "pagerduty"))
    told = parse_routes(text, "routes.toml", MEANINGS, {"CRM_WEBHOOK_SECRET": SECRET}, tmp_path)
    assert [t.name for t in told] == ["oncall", "alertmanager", "crm"]


@pytest.mark.parametrize("model", [AlertmanagerTable, PagerDutyTable, WebhookTable, Route, StormTable])
def test_every_key_of_the_routes_file_is_told(model: type[BaseModel]) -> None:
    """Nothing can be set that the page says nothing of."""
    table = PAGE.partition("| table | key | means |")[2].partition("\n\n")[0]
    assert [name for name in model.model_fields if f"`{name}`" not in table] == []


@pytest.mark.parametrize("reason", ["refused", "gave_up", "unreadable"])
def test_every_reason_is_told(reason: str) -> None:
    """Who reads a dead letter finds what it means."""
    assert f"`{reason}`" in PAGE
