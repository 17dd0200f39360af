"""Stands in for the image clickhouse/clickhouse-server where it cannot be pulled: the same engine behind a front that speaks HTTP."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.contract.chdb_http import ChdbHttp

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with ChdbHttp(Path("/var/lib/clickhouse"), address=("0.0.0.0", 8123)) as front:
        front.password = os.environ["CLICKHOUSE_PASSWORD"]
        signal.sigwait({signal.SIGTERM})
