"""Contacts are folded into a table now and then, and what has changed since when somebody asks: exact at any moment."""

from __future__ import annotations

import random

import pytest

from tests.contract.conftest import Table, touchpoint_row
from tests.contract.test_contacts_view import random_touchpoints

CONTACTS = "SELECT * FROM volvere.contacts ORDER BY ALL"
FOLDED = "SELECT * FROM volvere_store.contacts_folded ORDER BY ALL"


def fold(table: Table, *, ago: int = 0) -> None:
    """Fold all contacts into their table; ago: as if it had been so many seconds ago, and all inserts as long before it."""
    table.client.command("SYSTEM START VIEW volvere_store.contacts_refresh")
    table.client.command("SYSTEM REFRESH VIEW volvere_store.contacts_refresh")
    table.client.command("SYSTEM WAIT VIEW volvere_store.contacts_refresh")
    table.client.command("SYSTEM STOP VIEW volvere_store.contacts_refresh")
    if ago:
        for name, column, by in (("contacts", "folded_at", ago), ("touchpoints", "_inserted_at", 2 * ago)):
            table.client.command(
                f"ALTER TABLE volvere_store.{name} UPDATE {column} = {column} - {by} WHERE true SETTINGS mutations_sync = 2"
            )


def kept(table: Table) -> int:
    """How many contacts the table holds."""
    return int(table.ask("SELECT count() FROM volvere_store.contacts")[0][0])


@pytest.mark.parametrize("seed", range(2))
def test_whatever_was_folded_when_the_answer_is_the_same(table: Table, seed: int) -> None:
    """Random touchpoints, versions, cancellations and repeats come in portions, with a fold after some of them."""
    dice = random.Random(seed)
    lines = [touchpoint_row(**fields) for fields in random_touchpoints(dice, 300)]
    for begin in range(0, len(lines), 100):
        table.put("touchpoints", lines[begin : begin + 100] + dice.sample(lines[: begin + 1], min(begin, 20)))
        assert table.ask(CONTACTS) == table.ask(FOLDED) != []
        if dice.random() < 0.6:
            fold(table, ago=600)
            assert kept(table) == len(table.ask(FOLDED)) == len(table.ask(CONTACTS))


def test_only_who_has_changed_is_folded_again(table: Table) -> None:
    """A kept contact is shown as it was kept, as long as nothing came of its subject."""
    table.touchpoints(
        {"customer_id": "ana", "contact_id": "a"}, {"customer_id": "ben", "contact_id": "b", "event_id": "e2"}
    )
    fold(table, ago=600)
    table.client.command(
        "ALTER TABLE volvere_store.contacts UPDATE channel = 'kept' WHERE true SETTINGS mutations_sync = 2"
    )
    table.touchpoints({"customer_id": "ben", "contact_id": "b2", "event_id": "e3"})
    assert table.ask("SELECT subject, contact_id, channel FROM volvere.contacts ORDER BY ALL") == [
        ("ana", "a", "kept"), ("ben", "b", "voice"), ("ben", "b2", "voice"),
    ]  # fmt: skip


def test_an_insert_under_way_while_contacts_were_folded_is_not_missed(table: Table) -> None:
    """Its rows' time may lie before the fold, by as long as an insert may take."""
    table.touchpoints({"customer_id": "ana", "contact_id": "a"})
    fold(table)
    table.touchpoints({"customer_id": "ana", "contact_id": "a2", "event_id": "e2"})
    table.client.command(
        "ALTER TABLE volvere_store.touchpoints UPDATE _inserted_at = _inserted_at - 70 WHERE true SETTINGS mutations_sync = 2"
    )
    assert table.ask("SELECT contact_id FROM volvere.contacts ORDER BY ALL") == [("a",), ("a2",)]


def test_a_store_that_was_folded_by_its_own_schedule(table: Table) -> None:
    """The fold is scheduled, the clock says when it was last."""
    assert table.ask("SELECT known_until, contacts_folded_at FROM volvere.clock") == [(None, None)]
    table.touchpoints({"customer_id": "ana", "contact_id": "a"})
    fold(table)
    told = table.one(
        "SELECT contacts_folded_at > now() - 60 AS fresh, known_until IS NOT NULL AS known FROM volvere.clock"
    )
    assert told == {"fresh": True, "known": True}
    ((text,),) = table.ask("SELECT create_table_query FROM system.tables WHERE name = 'contacts_refresh'")
    assert "REFRESH EVERY 5 MINUTE" in text
