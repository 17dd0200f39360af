"""Planted stories: troubles that must be found, and near misses that must not.

A story is a function that tells it, from its beginning at 0, to a `Tale`. Limits are those of the
default rules, read to the letter: on a limit is still fine where the words say so, the smallest step
beyond is not. A customer lives through one story only, so nothing else can make it true or false.
Each story tells the whole truth about itself, except that a customer whom two troubles silenced
becomes `at_risk` 30 days later, which only the stories of that kind write down.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from volvere.simulator.contact import TOPICS
from volvere.simulator.stories import assets, calls, digital, feedback, messages, process, queues, returns, silence
from volvere.simulator.stories.tale import MENU, MILLISECOND, Planted, Tale

__all__ = ["MENU", "MILLISECOND", "STORIES", "Planted", "Story", "span", "tell"]

Story = Callable[[Tale], None]

STORIES: tuple[Story, ...] = (
    *returns.STORIES, *calls.STORIES, *queues.STORIES, *messages.STORIES, *process.STORIES, *digital.STORIES,
    *assets.STORIES, *feedback.STORIES, *silence.STORIES,
)  # fmt: skip
"""Every story that is planted."""


def tell(story: Story, name: str, customer_id: str, begin: int, agents: int, rng: Random) -> Tale:
    """A story as one customer lives through it. `name`: unique, for the ids; `begin`: microseconds."""
    topic, other = rng.sample(TOPICS, 2)
    tale = Tale(name, customer_id, begin, topic, other, f"A{rng.randrange(agents):03d}")
    story(tale)
    return tale


def span(story: Story) -> int:
    """How long a story takes until its last truth is certain, microseconds."""
    tale = tell(story, "story", "customer", 0, 1, Random(0))
    return max([at for at, _ in tale.said] + [p.at for p in tale.planted])
