"""What the wiring does to the process."""

from __future__ import annotations

import gc
import weakref

from volvere.worker import sparing_the_old


class Knot:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


def test_collections_look_at_the_young_only() -> None:
    """A worker with a large state does not stand still for seconds; garbage is found all the same, and everything at the end."""
    thresholds = gc.get_threshold()
    with sparing_the_old():
        young = weakref.ref(Knot())
        old = Knot()
        gc.collect(1)
        assert young() is None
        assert gc.get_freeze_count() > 10_000
        lost = weakref.ref(old)
        del old
        gc.collect()
        assert lost() is not None
        more: list[list[int]] = [[]]
        gc.collect(1)
        assert not any(o is more for o in gc.get_objects())
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == thresholds
    gc.collect()
    assert lost() is None
