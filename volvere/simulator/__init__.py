"""A company that does not exist, with the troubles of those that do.

Two kinds of customers never meet. Most are *background*: their contacts are drawn from a seeded
generator, day by day, and may go wrong by chance. A few are *planted*: each lives through one story
and is quiet otherwise, so what must be found about it, and what must not (the near misses, on the
very limit), is certain and written down as ground truth. All of it follows from the arguments: the
same company is told twice in the same words.
"""

from volvere.simulator.company import Company
from volvere.simulator.stories import Planted

__all__ = ["Company", "Planted"]
