"""Half a rebuild is seen by whoever would go on with it."""

from __future__ import annotations

import msgspec
import pytest

from schemas.errors import Impossible
from streams.facts import CODEC
from streams.partition import Control, read_control


def test_half_a_rebuild_is_refused() -> None:
    """A worker that took it for a whole state would tell of customers as if they had no past."""
    control = Control(1, 2, 3, 4, CODEC, 6, rebuilding=True)
    with pytest.raises(Impossible, match="run `volvere rebuild` again"):
        read_control(msgspec.json.encode(control), 6)
    whole = msgspec.structs.replace(control, rebuilding=False)
    assert read_control(msgspec.json.encode(whole), 6) == whole


def test_what_an_earlier_release_wrote_is_whole() -> None:
    """An upgrade finds states that know nothing of rebuilds."""
    written = msgspec.to_builtins(Control(1, 2, 3, 4, CODEC, 6))
    del written["rebuilding"]
    assert not read_control(msgspec.json.encode(written), 6).rebuilding
