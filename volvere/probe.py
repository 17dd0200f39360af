"""The health check of the container: asks the worker in this container how it is. Exit code 0 or 1.

It runs every few seconds, so it imports nothing but the standard library; curl would be one more thing to keep up to date.
"""

from __future__ import annotations

import os
import sys
from urllib.error import URLError
from urllib.request import urlopen


def main() -> int:
    """`python -m volvere.probe live` (or `ready`, `started`), as /health of VOLVERE_METRICS_LISTEN says it."""
    port = os.environ.get("VOLVERE_METRICS_LISTEN", "").rpartition(":")[2]
    what = sys.argv[1] if len(sys.argv) > 1 else "live"
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/{what}", timeout=3):
            return 0
    except URLError as e:
        told = e.read().decode(errors="replace") if hasattr(e, "read") else e.reason
        print(f"{what}: {told}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
