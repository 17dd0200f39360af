"""`volvere bench`: measures on this machine, one module a question."""
