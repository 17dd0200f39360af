"""What a machine may lack, such as Java, Chromium or the public data: skipped on a user's machine, a failure in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Something that the test needs is not on this machine: it is skipped and says so; with VOLVERE_REQUIRE_ALL=1 it fails."""
    if os.environ.get("VOLVERE_REQUIRE_ALL"):
        pytest.fail(f"VOLVERE_REQUIRE_ALL is set: {what}")
    pytest.skip(what)
