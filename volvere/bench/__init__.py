"""`volvere bench`: measures on this machine, one module a question. It prints what it measured, and judges nothing."""
