"""One works, the others stand by: all partitions of a group go to the member that has been there longest.

Storms are seen only by who sees all customers, and what is told is bounded by the receivers, not by how many
read. So a second bridge is there for the day when the first one's machine is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

VERSION = 0


def standby(since: int) -> type[AbstractPartitionAssignor]:
    """The assignor of a member that started then (microseconds)."""

    class Standby(AbstractPartitionAssignor):  # type: ignore[misc]
        """All to the eldest."""

        name = "standby"

        @classmethod
        def assign(
            cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
        ) -> dict[str, ConsumerProtocolMemberAssignment]:
            """By member, its partitions."""
            eldest = min(members, key=lambda m: (int.from_bytes(members[m].user_data or b"\xff" * 8, "big"), m))
            topics = [
                (topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in members[eldest].subscription
            ]
            return {
                member: ConsumerProtocolMemberAssignment(VERSION, topics if member == eldest else [], b"")
                for member in members
            }

        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            """What this member tells the others: since when it is there."""
            return ConsumerProtocolMemberMetadata(VERSION, list(topics), since.to_bytes(8, "big"))

        @classmethod
        def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
            """Nothing to remember."""

    return Standby
