"""Revenue has one definition: purchases, orders and renewals less refunds, whoever tells of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from schemas.times import HOUR, format_time
from sinks import rows
from tests.contract.conftest import Table
from tests.contract.test_metrics import Row
from volvere.bench import questions
from volvere.simulator import Company


class Paying(Company):
    """A company whose customers also renew, buy without a currency, and are paid back."""

    def touchpoints(self) -> Iterator[Row]:
        """Its own, and those."""
        yield from super().touchpoints()
        for n in range(60):
            kind = ("subscription.renewed", "purchase.made", "order.refunded", "order.placed")[n % 4]
            at = format_time(self.start + n * 9 * HOUR)
            money = {"amount": f"{n}.0{n % 10}", "currency": ("EUR", "USD", None)[n % 3]}
            yield {
                "source": "shop",
                "event_id": f"paid{n}",
                "customer_id": f"p{n % 7}",
                "kind": kind,
                "channel": "web",
                "occurred_at": at,
                **money,
            }


def test_money_is_one_thing(table: Table) -> None:
    """Journeys, customers and lifetime value tell of the same revenue: of each customer, in each currency, and in all."""
    made: dict[str, list[rows.Row]] = defaultdict(list)
    for name, line in questions.told(Paying(seed=2, customers=40, days=30, start=questions.START)):
        made[name].append(line)
    for name, lines in made.items():
        table.put(name, lines)
    of_journeys: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for subject, amounts in table.ask("SELECT subject, amounts FROM volvere.journeys WHERE customer_id IS NOT NULL"):
        for currency, amount in amounts.items():
            of_journeys[subject, currency] += amount
    of_customers = {
        (subject, currency): amount
        for subject, amounts in table.ask("SELECT subject, amounts FROM volvere.customers")
        for currency, amount in amounts.items()
    }
    assert of_customers == of_journeys
    assert {currency for _, currency in of_customers} == {"EUR", "USD", "XXX"}
    paid = [dict(zip(rows.COLUMNS["touchpoints"], row, strict=True)) for row in made["touchpoints"]]
    assert sum(of_customers.values()) == sum(
        Decimal(t["amount"]) * (-1 if t["kind"] == "order.refunded" else 1)
        for t in paid
        if t.get("amount")
        and t.get("customer_id")
        and t["kind"] in ("purchase.made", "order.placed", "subscription.renewed", "order.refunded")
    )
    for currency in ("EUR", "USD"):
        span = f"since = '2000-01-01', until = '2100-01-01', margin = 0.4, discount = 0.1, currency = '{currency}'"
        ((revenue,),) = table.ask(f"SELECT revenue FROM volvere.lifetime_value({span})")
        assert revenue == sum(amount for (_, name), amount in of_customers.items() if name == currency)
