"""`volvere rebuild`, wired as the command is, in a process that kills itself at some commit.

python -m tests.faults.rebuilder topic|clickhouse NTH, with the settings in the environment
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from volvere.rebuild import rebuild, store, survey
from volvere.settings import load
from volvere.worker import broker, load_rules, set_up_logging


def main(source: str, nth: str) -> None:
    """Rebuild, and die before the nth transaction is committed."""
    settings, left = load(), int(nth)
    set_up_logging(settings)

    async def fate(point: str) -> None:
        nonlocal left
        left -= point == "before commit"
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    with store(settings, needed=True) as client, broker(settings, create=False) as at:
        given = client if source == "clickhouse" else None
        asyncio.run(rebuild(settings, at, survey(settings, at), load_rules(settings.rules), given, hook=fate))


if __name__ == "__main__":
    main(*sys.argv[1:])
