"""The floor: records are fetched and nothing is done with them. It marks its first and its last batch in the topic of frictions."""

from __future__ import annotations

import asyncio
import os

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition


async def main() -> None:
    """Read to the end that was there at the start, then commit."""
    kafka, run = os.environ["BENCH_KAFKA"], os.environ["BENCH_RUN"]
    source = f"{run}-touchpoints"
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        group_id=f"{run}-floor",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=1024 * 1024,
    )
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await consumer.start()
    await producer.start()
    partitions = [TopicPartition(source, n) for n in range(int(os.environ["BENCH_PARTITIONS"]))]
    consumer.assign(partitions)
    await consumer.seek_to_beginning()
    ends = await consumer.end_offsets(partitions)
    at = dict.fromkeys(partitions, 0)
    began = False
    while at != ends:
        for tp, records in (await consumer.getmany(timeout_ms=1000, max_records=5000)).items():
            at[tp] = records[-1].offset + 1
        if not began:
            began = True
            await producer.send_and_wait(f"{run}-frictions", b"first")
    await producer.send_and_wait(f"{run}-frictions", b"last")
    await consumer.commit(dict(at.items()))
    await producer.stop()
    await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())
