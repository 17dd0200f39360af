"""Fixtures that several suites share: the two brokers, the data beside the project, hypothesis's profiles."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.certificates import Certificates
from tests.kafka import ApacheKafka, KafkaMissing
from tests.missing import missing
from volvere.embedded import EmbeddedBroker

DATA = Path(__file__).resolve().parents[1] / "../shared/data"
CI = os.environ.get("CI") == "true"

# In CI the same examples every time: a red build is somebody's change, never the dice.
# Slow machines are no reason to fail: no deadlines.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", _PATIENT, derandomize=True, database=None, print_blob=True)
settings.register_profile("dev", _PATIENT)
settings.load_profile("ci" if CI else "dev")

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take long begins first, so that nobody waits for it in the end."""

    def patience(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker else 0.0

    items.sort(key=patience, reverse=True)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of public data sets beside the project; in CI it must be there."""
    if not DATA.is_dir():
        missing(f"the public data sets are not there: {DATA.resolve()}")
    return DATA


def _kafka(folder: Path, certificates: Certificates | None = None) -> ApacheKafka:
    try:
        return ApacheKafka(folder, certificates=certificates)
    except KafkaMissing as e:
        missing(str(e))


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """One Apache Kafka for the whole run; VOLVERE_REQUIRE_ALL=1 turns its absence into a failure."""
    kafka = _kafka(tmp_path_factory.mktemp("kafka"))
    try:
        kafka.start()
        yield kafka
    finally:
        kafka.kill()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of servers and clients, good and bad."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def guarded_kafka(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[ApacheKafka]:
    """An Apache Kafka with a listener for each way of being let in."""
    kafka = _kafka(tmp_path_factory.mktemp("kafka"), certificates)
    try:
        kafka.start()
        yield kafka
    finally:
        kafka.kill()


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    """An Apache Kafka for one test, which may kill and restart it; not started yet."""
    kafka = _kafka(tmp_path)
    yield kafka
    kafka.kill()


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """One embedded broker for the whole run."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for topics that no other test uses, so that tests share a broker without meeting."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', request.node.name)[:60].strip('-')}-{os.getpid()}-{next(_numbers)}."
