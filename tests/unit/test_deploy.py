"""What is in deploy/ fits what is in the code: settings, locks, times, counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from volvere.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
FILES = sorted(
    path
    for path in (
        *DEPLOY.glob("*.yaml"),
        DEPLOY / "Containerfile",
        *KUBERNETES.rglob("*.yaml"),
        *KUBERNETES.rglob("*.env"),
    )
    if path.is_file()
)


def pins(path: Path) -> set[str]:
    """`name==version` of a lock."""
    return set(re.findall(r"^([\w.-]+==[^ ;\\]+)", path.read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_setting_is_one(path: Path) -> None:
    """A variable that nothing reads would be passed over in silence."""
    names = set(re.findall(rf"{PREFIX}([A-Z_]+)\b", path.read_text("utf-8")))
    assert {name.lower() for name in names} <= Settings.model_fields.keys()


def test_the_container_has_what_was_tested() -> None:
    """Its lock is a part of the one that the tests run with: `make lock` writes both."""
    container, tested = pins(DEPLOY / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert container - tested == set(), "run `make lock`"
    wanted = re.findall(r'^    "([\w.-]+)', _table("dependencies"), re.MULTILINE)
    assert wanted
    assert {name.lower() for name in wanted} <= {pin.partition("==")[0] for pin in container}, "run `make lock`"


def _table(name: str) -> str:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    found = re.search(rf"^{name} = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_who_stops_a_worker_waits_until_it_has_stopped() -> None:
    """A worker that is killed before its own deadline leaves a transaction open, and everybody waits for that."""
    most: float = Settings.model_fields["stop_within_s"].default
    for path in (
        DEPLOY / "compose.yaml",
        *(KUBERNETES / f"base/{stage}.yaml" for stage in ("track", "store")),
        KUBERNETES / "components/alerting/alert.yaml",
    ):
        (grace,) = re.findall(r"(?:stop_grace_period|terminationGracePeriodSeconds): (\d+)", path.read_text("utf-8"))
        assert int(grace) > most, path


def test_no_more_workers_than_partitions() -> None:
    """A further one would have nothing to do."""
    settings = (KUBERNETES / "base/settings.env").read_text("utf-8")
    (partitions,) = re.findall(rf"^{PREFIX}PARTITIONS=(\d+)$", settings, re.MULTILINE)
    scaler = (KUBERNETES / "components/autoscaling/autoscaler.yaml").read_text("utf-8")
    assert re.findall(r"maxReplicas: (\d+)", scaler) == [partitions]
