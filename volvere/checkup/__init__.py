"""The check-up: what is wrong with a company, read from its store as a mechanic reads a car.

    period ─▶ questions ─▶ gauges ─▶ Checkup ─▶ terminal, JSON, page

`questions` asks the views, and is the only part that does. `gauges` makes of the answers a value, which knows no language and no
form; the three renderers say it. `limits` has every threshold, `texts` every word, in all languages.
"""
