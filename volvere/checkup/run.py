"""A check-up of a store: the wiring of the parts."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from clickhouse_connect.driver.client import Client

from sinks.clickhouse import StoreProblem, applied, migrations
from volvere.checkup.gauges import checkup
from volvere.checkup.limits import MARGIN
from volvere.checkup.model import Checkup
from volvere.checkup.period import period
from volvere.checkup.questions import ask, happened, known

_ANY = datetime(2000, 1, 1, tzinfo=UTC)


def check_up(client: Client, since: str | None, until: str | None, zone: tzinfo, margin: float = MARGIN) -> Checkup:
    """The check-up of a store. Raises PeriodProblem, StoreProblem where there is nothing to check, Transient."""
    old = [file.name for file in migrations() if file.version not in applied(client)]
    if old:
        raise StoreProblem(f"the store is older than this release ({', '.join(old)}); run `volvere store migrate`")
    so_far = known(client)
    if so_far.until is None or so_far.first is None or so_far.last is None:
        period(since, until, zone, _ANY)  # a wrong date is told first
        raise StoreProblem(
            "there is nothing to check: the store holds no touchpoints; fill it with `volvere run FILE` or a worker"
        )
    asked = period(since, until, zone, so_far.until)
    if not happened(client, asked):
        first, last = (f"{at.astimezone(zone):%Y-%m-%d}" for at in (so_far.first, so_far.last))
        raise StoreProblem(
            f"nothing happened from {asked.since.astimezone(zone):%Y-%m-%d} to {asked.until.astimezone(zone):%Y-%m-%d}; "
            f"the store knows of {first} to {last}: choose --from and --to within"
        )
    return checkup(ask(client, asked, so_far.until, margin))
