"""The routes file: who is told of what, and what is wrong with it, by file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.times import MINUTE
from sinks.alerts.incidents import StormRule, read
from sinks.alerts.routes import RoutesError, Told, parse_routes
from tests.frictions import friction
from volvere.alert import load_routes
from volvere.rules_texts import MEANINGS
from volvere.settings import SettingsProblem

GOOD = """\
[receivers.oncall]
type = "pagerduty"
secret_env = "PAGERDUTY_KEY"

[receivers.am]
type = "alertmanager"
url = "http://alertmanager:9093"
storm = false

[receivers.crm]
type = "webhook"
url = "https://crm.example/hooks/volvere"
secret_file = "crm-secret"
storm = { more_than = 5, within = "1m" }

[[routes]]
to = ["oncall"]
severity = "error"

[[routes]]
to = ["oncall", "am"]
kinds = ["dropped_call", "closed_door"]
queues = ["vip"]

[[routes]]
to = ["am", "crm"]
"""
ENVIRONMENT = {"PAGERDUTY_KEY": "s3cret", "EMPTY": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the file of the example's secret is."""
    (tmp_path / "crm-secret").write_text("another s3cret\n")
    (tmp_path / "nothing").write_text("\n")
    (tmp_path / "two-lines").write_text("a\nb\n")
    (tmp_path / "bad").write_text("whsec_???")
    return tmp_path


def parsed(text: str, folder: Path) -> dict[str, Told]:
    """The receivers by name."""
    return {t.name: t for t in parse_routes(text, "routes.toml", MEANINGS, ENVIRONMENT, folder)}


def test_a_good_file(folder: Path) -> None:
    """Secrets come from where the file says, storms are as it says or as documented."""
    told = parsed(GOOD, folder)
    assert [t.receiver.secret for t in told.values()] == ["s3cret", "", "another s3cret"]
    assert told["oncall"].storms == StormRule(20, 5 * MINUTE)
    assert told["am"].storms is None
    assert told["crm"].storms == StormRule(5, MINUTE)
    assert "s3cret" not in repr(told)
    assert "s3cret" not in " ".join(t.words() for t in told.values())


@pytest.mark.parametrize(
    ("event", "who"),
    [
        (friction(severity="warning"), {"am", "crm"}),
        (friction(severity="error"), {"oncall", "am", "crm"}),
        (friction(severity="critical", kind="lemon"), {"oncall", "am", "crm"}),
        (friction(severity="warning", queue="vip"), {"oncall", "am", "crm"}),
        (friction(severity="warning", queue="vip", kind="long_wait"), {"am", "crm"}),
        (friction(severity="info", queue=None), {"am", "crm"}),
    ],
)
def test_who_is_told(event: bytes, who: set[str], folder: Path) -> None:
    """By severity and above, kind and queue; any route that lets it through is enough."""
    heard, *_ = read(event)
    assert {name for name, t in parsed(GOOD, folder).items() if t.wants(heard)} == who


WRONG = {
    "no TOML": ("[receivers", "not TOML"),
    "empty": ("", "receivers: field required"),
    "an unknown type": (GOOD.replace('"webhook"', '"pager"'), "routes.toml:11: receivers.crm.type: expected one of"),
    "no type": (GOOD.replace('type = "webhook"\n', ""), "receivers.crm.type: expected one of alertmanager, pagerduty"),
    "no address": (
        GOOD.replace('url = "http://alertmanager:9093"\n', ""),
        "routes.toml:5: receivers.am.url: field required",
    ),
    "no such address": (
        GOOD.replace("http://alertmanager:9093", "alertmanager:9093"),
        "routes.toml:7: receivers.am.url",
    ),
    "a login in the address": (
        GOOD.replace("http://alertmanager:9093", "http://me:s3cret@am:9093"),
        "routes.toml:7: receivers.am.url: expected an address such as https://alerts.example:9093, without a login",
    ),
    "a secret in the file": (
        GOOD.replace('secret_env = "PAGERDUTY_KEY"', 'secret = "s3cret"'),
        "routes.toml:3: receivers.oncall.secret: unknown key; expected one of ca_file, secret_env, secret_file",
    ),
    "no secret": (
        GOOD.replace('secret_env = "PAGERDUTY_KEY"\n', ""),
        "routes.toml:1: receivers.oncall: expected secret_env or secret_file, that names where the integration key is",
    ),
    "two secrets": (
        GOOD.replace('secret_env = "PAGERDUTY_KEY"', 'secret_env = "PAGERDUTY_KEY"\nsecret_file = "crm-secret"'),
        "routes.toml:4: receivers.oncall.secret_file: expected secret_env or secret_file, not both",
    ),
    "a variable that is not set": (
        GOOD.replace("PAGERDUTY_KEY", "NOWHERE"),
        "routes.toml:3: receivers.oncall.secret_env: the environment has no NOWHERE",
    ),
    "a variable that is empty": (GOOD.replace("PAGERDUTY_KEY", "EMPTY"), "the environment has no EMPTY"),
    "no file": (
        GOOD.replace('"crm-secret"', '"gone"'),
        "routes.toml:13: receivers.crm.secret_file: expected a readable",
    ),
    "an empty file": (GOOD.replace('"crm-secret"', '"nothing"'), "receivers.crm.secret_file: expected a secret in"),
    "two lines": (GOOD.replace('"crm-secret"', '"two-lines"'), "receivers.crm.secret_file: expected one line"),
    "no base64": (GOOD.replace('"crm-secret"', '"bad"'), "receivers.crm.secret_file: expected base64 after whsec_"),
    "no certificate": (
        GOOD.replace("storm = false", 'ca_file = "gone.pem"'),
        "receivers.am.ca_file: expected a readable",
    ),
    "an unknown kind": (
        GOOD.replace('"closed_door"', '"closed_dor"'),
        'routes.toml:22: routes.2.kinds: there is no kind "closed_dor"; expected some of agent_disconnect',
    ),
    "an unknown receiver": (
        GOOD.replace('to = ["am", "crm"]', 'to = ["am", "crm", "pager"]'),
        'routes.toml:26: routes.3.to: there is no receiver "pager"; expected some of am, crm, oncall',
    ),
    "nobody": (
        GOOD.replace('to = ["am", "crm"]', "to = []"),
        "routes.toml:26: routes.3.to: list should have at least 1",
    ),
    "no route": (
        GOOD.replace('to = ["am", "crm"]', 'to = ["am"]'),
        'routes.toml:10: receivers.crm: no route leads to it; expected to = ["crm"]',
    ),
    "an unknown severity": (
        GOOD.replace('"error"', '"grave"'),
        "routes.toml:18: routes.1.severity: input should be 'info'",
    ),
    "an unknown key": (GOOD + 'colour = "red"\n', "routes.toml:27: routes.3.colour: unknown key"),
    "a storm of none": (
        GOOD.replace("more_than = 5", "more_than = 0"),
        "routes.toml:14: receivers.crm.storm.more_than",
    ),
    "a storm in no time": (GOOD.replace('"1m"', '"soon"'), "receivers.crm.storm.within: expected a duration"),
    "a storm, but which": (
        GOOD.replace("storm = false", "storm = true"),
        "routes.toml:8: receivers.am.storm: expected false",
    ),
    "a name that is none": (GOOD.replace("receivers.crm", 'receivers."C R M"'), "string should match pattern"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong(case: str, folder: Path) -> None:
    """Whoever wrote it finds the place; and no secret is told."""
    text, says = WRONG[case]
    with pytest.raises(RoutesError) as told:
        parsed(text, folder)
    assert says in str(told.value)
    assert "s3cret" not in str(told.value)


def test_all_that_is_wrong_is_told_at_once(folder: Path) -> None:
    """Nobody mends a file line by line, once for each start."""
    text = GOOD.replace("PAGERDUTY_KEY", "NOWHERE").replace('"closed_door"', '"closed_dor"').replace("http://", "")
    with pytest.raises(RoutesError) as told:
        parsed(text, folder)
    assert len(str(told.value).splitlines()) == 3


def test_no_routes_file_at_all(tmp_path: Path) -> None:
    """A bridge that would tell nobody does not start, and says what it needs."""
    with pytest.raises(SettingsProblem, match=r"VOLVERE_ALERT_ROUTES: expected a routes file, or --routes FILE"):
        load_routes(None)
    with pytest.raises(RoutesError, match=r"gone\.toml: cannot be read: No such file"):
        load_routes(tmp_path / "gone.toml")
