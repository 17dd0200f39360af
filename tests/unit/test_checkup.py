"""The check-up without a store: periods, chance, limits, texts, and gauges of made-up answers."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from math import comb
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from rich.console import Console

from streams.detectors import DETECTORS
from volvere.checkup import chance, limits
from volvere.checkup.gauges import TRAINING, checkup
from volvere.checkup.limits import LIMITS
from volvere.checkup.model import Amount, Checkup, Gauge, Interval, Said, Unit, Verdict
from volvere.checkup.period import PeriodProblem, period
from volvere.checkup.plans import MEASURES, PLANS
from volvere.checkup.questions import Answers, Row
from volvere.checkup.terminal import render, to_json
from volvere.checkup.texts import TEXTS, Language, amount, name, say, text

MADRID = ZoneInfo("Europe/Madrid")
KNOWN = datetime(2026, 4, 7, 12, tzinfo=UTC)
GAUGES = "reliability process what_matters abandonment maintenance alignment feedback upgrade".split()


# Periods


def test_the_usual_period() -> None:
    """Without options: the 28 days up to and with the last of which something is known, in somebody's days."""
    found = period(None, None, MADRID, KNOWN)
    assert (found.since, found.until) == (
        datetime(2026, 3, 10, 23, tzinfo=UTC),  # a midnight, too: the clocks went forward in between
        datetime(2026, 4, 7, 22, tzinfo=UTC),
    )
    assert found.before.until == found.since
    assert found.before.since == datetime(2026, 2, 10, 23, tzinfo=UTC)


def test_days_are_somebody_s() -> None:
    """A day begins at its midnight; a time says its own zone."""
    found = period("2026-03-01", "2026-03-31T10:00:00+02:00", MADRID, KNOWN)
    assert (found.since, found.until) == (datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2026, 3, 31, 8, tzinfo=UTC))


@pytest.mark.parametrize(
    ("since", "until", "says"),
    [
        ("31.1.2026", None, "--from '31.1.2026' is no date; expected a day such as 2026-01-31"),
        ("2026-02-30", None, "--from '2026-02-30' is no date"),
        (None, "soon", "--to 'soon' is no date"),
        ("", "2026-01-01T00:00:00", "--to '2026-01-01T00:00:00' is no date"),
        ("1980-01-01", None, "from 1990 on"),
        ("2026-02-02", "2026-02-01", "--from 2026-02-02 is not before --to 2026-02-01"),
        ("2026-02-01", "2026-02-01", "--to is exclusive"),
        ("2027-01-01", None, "--from 2027-01-01 is not before --to 2026-04-08"),
    ],
)
def test_periods_that_are_none(since: str | None, until: str | None, says: str) -> None:
    """Who mistypes a date is told which, and what was expected."""
    with pytest.raises(PeriodProblem, match=re.escape(says)):
        period(since, until, MADRID, KNOWN)


@pytest.mark.parametrize(("days", "weeks"), [(7, 8), (28, 8), (60, 18), (400, 26)])
def test_weeks_of_a_trend(days: int, weeks: int) -> None:
    """The weeks of the period and the one before, never few, never a wall of them; the first is a whole one."""
    found = period(str(date(2026, 4, 6) - timedelta(days=days)), "2026-04-06", MADRID, KNOWN).weeks
    assert found.since.astimezone(MADRID).weekday() == 0
    assert found.since.astimezone(MADRID).hour == 0
    assert round((found.until - found.since) / timedelta(days=7)) == weeks


# Chance


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [  # Newcombe 1998, table I (81/263, 15/148, 0/20, 1/29); textbooks
        (81, 263, 0.2527, 0.3676),
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0, 0.1684),
        (1, 29, 0.0009, 0.1776),
        (10, 20, 0.2720, 0.7280),
        (20, 20, 0.8316, 1.0),
    ],
)
def test_clopper_pearson(k: int, n: int, low: float, high: float) -> None:
    """The interval of a share is the one that is published."""
    assert chance.clopper_pearson(k, n) == pytest.approx((low, high), abs=6e-5)


def test_an_interval_holds_what_it_promises() -> None:
    """At each end of the interval just 2.5 % are left, by adding up the binomial itself."""
    for n in (1, 2, 7, 40, 300):
        for k in range(0, n + 1, max(1, n // 7)):
            low, high = chance.clopper_pearson(k, n)
            if k:
                assert sum(_chance(n, j, low) for j in range(k, n + 1)) == pytest.approx(0.025, rel=1e-6)
            if k < n:
                assert sum(_chance(n, j, high) for j in range(k + 1)) == pytest.approx(0.025, rel=1e-6)


def _chance(n: int, j: int, p: float) -> float:
    return comb(n, j) * p**j * (1 - p) ** (n - j)


def test_a_ratio_of_rates() -> None:
    """The conditional binomial, carried over; nothing to compare is none, nothing before has no upper end."""
    low, high = chance.clopper_pearson(30, 50)
    found = chance.rate_ratio(30, 1000, 20, 2000)
    assert found is not None and found.high is not None
    assert (found.low, found.high) == pytest.approx((low / (1 - low) * 2, high / (1 - high) * 2))
    assert chance.rate_ratio(0, 10, 0, 10) is None
    assert chance.rate_ratio(3, 0, 1, 10) is None
    open_end = chance.rate_ratio(5, 10, 0, 10)
    assert open_end is not None and open_end.high is None and open_end.low > 0
    many = chance.rate_ratio(300_000, 1_000_000, 270_000, 1_000_000)
    assert many is not None and many.high is not None and 1.10 < many.low < 300 / 270 < many.high < 1.12


def test_a_correlation() -> None:
    """Pearson's r with Fisher's interval; none of too few or of what does not vary."""
    r, between = chance.pearson([(x, x + 10 * (x % 2)) for x in range(30)]) or (0.0, Interval(0, 0))
    assert between.low < r < (between.high or 0) < 1
    assert r == pytest.approx(0.8660, abs=0.02)
    assert chance.pearson([(1, 1), (2, 2), (3, 3)]) is None
    assert chance.pearson([(1, y) for y in range(20)]) is None
    straight = chance.pearson([(y, -y) for y in range(20)])
    assert straight is not None
    assert straight[0] == straight[1].low == pytest.approx(-1)


# Limits


@pytest.mark.parametrize("key", sorted(LIMITS))
def test_a_limit_has_two_sides(key: str) -> None:
    """Good and bad are apart, in the order that the figure's meaning asks for, and it is said who says so."""
    limit = LIMITS[key]
    assert key in MEASURES and limit.good != limit.bad and limit.source
    assert limit.verdict(limit.good) is Verdict.good
    assert limit.verdict(limit.bad) is Verdict.watch
    beyond = limit.bad + (limit.bad - limit.good)
    assert limit.verdict(beyond) is Verdict.bad
    assert limits.verdict(key, beyond, limits.ENOUGH - 1) is Verdict.unjudged, "too few cases are no reason to worry"
    assert limits.verdict(key, beyond, limits.ENOUGH) is Verdict.bad


# Texts


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_no_text_lacks_a_language(key: str) -> None:
    """Both languages say it, with the same places; only names that are the same in both are alike."""
    assert len(TEXTS[key]) == len(Language)
    english, spanish = TEXTS[key]
    assert english.strip() and spanish.strip()
    assert set(re.findall(r"\{(\w+)\}", english)) == set(re.findall(r"\{(\w+)\}", spanish))
    assert english != spanish or key == "nps"


def test_whatever_can_be_shown_has_a_text() -> None:
    """Every figure, kind of friction, spot, verdict and gauge has its words."""
    keys = [f for plan in PLANS.values() for f in (*plan.figures, *plan.trend)]
    keys += [key for plan in PLANS.values() for _, some in plan.spots for key in some]
    keys += [f"by.{by}" for plan in PLANS.values() for by in plan.spots_by] + ["by.asset", "by.release"]
    keys += (
        [f"kind.{d.kind}" for d in DETECTORS] + [f"verdict.{v}" for v in Verdict] + [f"training.{t}" for t in TRAINING]
    )
    keys += [*limits.BY_INTERVAL, "gap", "days_out_of_service"]
    keys += [f"{gauge}.{what}" for gauge in GAUGES for what in ("asks", "no_data")]
    assert [key for key in keys if key not in TEXTS] == []
    assert len({name(gauge, language) for gauge in GAUGES for language in Language}) == 16


def test_every_kind_of_friction_stands_behind_one_gauge() -> None:
    """No friction is passed over, none is told twice."""
    kinds = [kind for plan in PLANS.values() for kind in plan.kinds]
    assert sorted(kinds) == sorted(d.kind for d in DETECTORS)


@pytest.mark.parametrize(
    ("value", "unit", "english", "spanish"),
    [
        (0.046, Unit.share, "4.6%", "4,6\u00a0%"),
        (0.638, Unit.share, "64%", "64\u00a0%"),
        (1234567, Unit.number, "1,234,567", "1.234.567"),
        (-12.4, Unit.points, "−12", "−12"),
        (12.4, Unit.points, "+12", "+12"),
        (0.0, Unit.points, "0", "0"),
        (0.617, Unit.correlation, "+0.62", "+0,62"),
        (4.379, Unit.times, "4.4", "4,4"),
        (1.084, Unit.times, "1.08", "1,08"),
        (183, Unit.seconds, "3\u00a0min 3\u00a0s", "3\u00a0min 3\u00a0s"),
        (46.98, Unit.per_100, "47.0", "47,0"),
        (612.3, Unit.per_1000, "612", "612"),
        (2.5, Unit.days, "2.5\u00a0d", "2,5\u00a0d"),
    ],
)
def test_numbers(value: float, unit: Unit, english: str, spanish: str) -> None:
    """Each language writes numbers in its own way."""
    assert amount(Amount(value, unit), Language.en) == english
    assert amount(Amount(value, unit), Language.es) == spanish


# Gauges of made-up answers


def answers(**changes: Any) -> Answers:
    """Answers about a month of which nothing is known but what is said."""
    asked = period("2026-03-02", "2026-03-30", ZoneInfo("UTC"), KNOWN)
    nothing: dict[str, Any] = {
        "period": asked, "known_until": KNOWN, "touchpoints": 1, "now": {}, "before": {}, "weeks": {}, "spots": {},
        "kinds": {}, "kinds_before": {}, "company": {}, "company_before": {}, "assets": [], "releases": [], "teams": [],
        "teams_before": [], "came_back_in": asked, "came_back": {},
    }  # fmt: skip
    given = nothing | changes
    for part, empty in (("now", dict), ("before", dict), ("weeks", list)):
        given[part] = {view: given[part].get(view, empty()) for view in PLANS}
    by: dict[tuple[str, str], list[Row]] = {(view, by): [] for view, plan in PLANS.items() for by in plan.spots_by}
    given["spots"] = by | given["spots"]
    for part in ("kinds", "kinds_before"):
        given[part] = {naming: [] for naming in ("all", "agent", "queue")} | given[part]
    assert set(given) == {field.name for field in fields(Answers)}
    return Answers(**given)


def gauge(key: str, **changes: Any) -> Gauge:
    """One gauge of made-up answers."""
    (found,) = [g for g in checkup(answers(**changes)).gauges if g.key == key]
    return found


def spoken(found: Checkup, language: Language) -> str:
    """What a terminal shows."""
    console = Console(file=StringIO(), width=200)
    console.print(render(found, language))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("language", Language)
def test_a_company_of_which_nothing_is_known(language: Language) -> None:
    """Each gauge says what it would need, none shows a value, and the top says why it is silent."""
    found = checkup(answers())
    assert [g.key for g in found.gauges] == GAUGES
    for g in found.gauges:
        assert (g.verdict, g.figures, g.trends, g.spots, g.frictions) == (Verdict.no_data, (), (), (), ())
        assert say(g.sentence, language) == text(f"{g.key}.no_data", language)
        assert say(g.sentence, language).startswith(("No data: it would need ", "Sin datos: harían falta "))
    assert say(found.sentence, language) == text("top.none", language)
    assert spoken(found, language).count(text("verdict.no_data", language)) == 8


def test_of_a_handful_nothing_is_said() -> None:
    """Nine weeks of teams are too few for a correlation, ten are enough; what does not vary has none."""

    def teams(count: int, wave: float = 1.0) -> list[Row]:
        return [
            {
                "queue": f"q{n}", "week": date(2026, 3, 2), "employee_of": 3, "employee_score": 0.5 + wave * n / 100,
                "customer_of": 4, "customer_score": 0.4 + n / 50 + 0.01 * (n % 3), "contacts": 50, "frictions": 50 - n,
                "frictions_per_100": 100 - 2 * n + n % 2,
            }
            for n in range(count)
        ]  # fmt: skip

    few, enough, flat = (gauge("alignment", teams=t) for t in (teams(9), teams(10), teams(12, 0)))
    assert (few.verdict, few.sentence.key, few.pairs) == (Verdict.unjudged, "alignment.few", ())
    assert [f.value for f in few.figures] == [None, None]
    assert (enough.verdict, enough.sentence.key, len(enough.pairs)) == (Verdict.good, "employee_customer.same", 10)
    assert enough.sentence.parts["weeks"] == Amount(10)
    assert flat.sentence.key == "alignment.few"
    against = gauge("alignment", teams=[row | {"customer_score": 1 - row["customer_score"]} for row in teams(12)])
    assert (against.verdict, against.sentence.key) == (Verdict.bad, "employee_customer.against")


@pytest.mark.parametrize(
    ("after", "passed", "how", "verdict"),
    [
        (300, True, "worse", Verdict.bad),
        (100, True, "better", Verdict.good),
        (205, True, "open", Verdict.watch),
        (300, False, "early", Verdict.unjudged),
    ],
)
def test_a_release_is_judged_by_what_chance_leaves_open(after: int, passed: bool, how: str, verdict: Verdict) -> None:
    """Worse, better, or nothing that chance does not explain; and nothing before the fortnight is over."""
    release = {
        "release": "r7", "deployed_at": datetime(2026, 3, 10), "after_passed": passed,  # noqa: DTZ001 - as ClickHouse gives it
        "contacts_before": 400, "contacts_after": 400, "frictions_before": 200, "frictions_after": after,
        "frictions_per_1000_before": 500.0, "frictions_per_1000_after": after * 2.5, "rate_ratio": after / 200,
    }  # fmt: skip
    found = gauge("upgrade", releases=[release])
    assert (found.sentence.key, found.verdict) == (f"upgrade.{how}", verdict)
    assert found.spots[0].spots[0].interval == chance.rate_ratio(after, 400, 200, 400)
    bare = gauge("upgrade", releases=[release | {"frictions_before": 0, "rate_ratio": None}])
    assert (bare.sentence.key, bare.verdict) == ("upgrade.nothing", Verdict.unjudged)


def test_worst_spots_come_first() -> None:
    """The lowest of what should be high, the highest of what should be low; those with few cases, or no name, are left out."""
    topics = [
        {"value": name, "fcr_7d": share, "fcr_7d_of": of}
        for name, share, of in [
            ("a", 0.9, 50),
            ("b", 0.2, 10),
            ("c", 0.1, 9),
            ("d", 0.5, 99),
            (None, 0.0, 99),
            ("e", None, 0),
        ]
    ]
    now = {"gauge_reliability": {"contacts": 300, "fcr_7d": 0.5, "fcr_7d_of": 168}}
    found = gauge("reliability", now=now, spots={("gauge_reliability", "topic"): topics})
    assert [(s.by, [x.name for x in s.spots]) for s in found.spots] == [("topic", ["b", "d", "a"])]
    queues = [{"value": f"q{n}", "transfer_rate": n / 100, "answered": 40} for n in range(9)]
    worst = gauge("process", now={"gauge_process": {"contacts": 300}}, spots={("gauge_process", "queue"): queues})
    assert [x.name for x in worst.spots[0].spots] == ["q8", "q7", "q6", "q5", "q4"]


def test_a_gauge_is_as_bad_as_its_worst_figure() -> None:
    """A manager sees the trouble, not the mean of it; the period before stands beside."""
    now = {
        "gauge_abandonment": {
            "queued": 90,
            "abandonment_rate": 0.04,
            "patient": 90,
            "service_level": 0.5,
            "offered": 90,
        }
    }
    before = {"gauge_abandonment": {"abandonment_rate": 0.06}}
    found = gauge("abandonment", now=now, before=before)
    figures = {f.key: f for f in found.figures}
    assert (figures["abandonment_rate"].verdict, figures["service_level"].verdict) == (Verdict.good, Verdict.bad)
    assert found.verdict is Verdict.bad
    assert (figures["abandonment_rate"].before, figures["service_level"].before) == (0.06, None)


def test_json_is_the_value_and_the_words() -> None:
    """A program reads the whole value back, and each sentence in words beside it."""
    release = {"kind": "low_score", "frictions": 3, "customers": 2, "examples": ["ab"]}
    found = checkup(answers(kinds={"all": [release]}, now={"gauge_feedback": {"sent": 2, "answered": 1}}))
    for language in Language:
        plain = msgspec.json.decode(to_json(found, language))
        assert [g["sentence"]["text"] for g in plain["gauges"]] == [say(g.sentence, language) for g in found.gauges]
        assert msgspec.convert(plain, Checkup) == found
    assert msgspec.convert(
        {"key": "top.none", "parts": {"a": {"value": 1, "unit": "share"}, "b": "x"}}, Said
    ).parts == {
        "a": Amount(1, Unit.share),
        "b": "x",
    }
