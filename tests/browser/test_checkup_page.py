"""The page of the check-up in Chromium: nothing from outside, no errors, charts there, accessible, at all widths, in both languages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, Route, sync_playwright

from tests.command import volvere
from tests.missing import missing
from volvere.checkup.model import Checkup, Gauge, Pair, Said, Verdict
from volvere.checkup.page import page
from volvere.checkup.texts import Language, name, text

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
GAUGES = "reliability process what_matters abandonment maintenance alignment feedback upgrade".split()
NASTY = "</title><script>document.title = 'taken'</script><img src=//elsewhere.example/x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as it is installed."""
    if not CHROMIUM:
        missing("Chromium is not there; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def checkups(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkup]:
    """A company of which much is known, by the command; one of which nothing is; one whose names are an attack."""
    folder = tmp_path_factory.mktemp("page")
    simulated = ("simulate", "--customers", 60, "--days", 115, "--operations", "--start", "2025-03-03T00:00:00Z")
    volvere(folder, "run", "-", stdin=volvere(folder, *simulated).out, ends_within=300)
    asked = ("--from", "2025-04-28", "--to", "2025-06-23", "--html", "page.html", "--format", "json")
    told = volvere(folder, "checkup", *asked, ends_within=300).out
    full = msgspec.convert(msgspec.json.decode(told), Checkup)
    assert (folder / "page.html").read_text(encoding="utf-8") == page(full, Language.en)
    none = tuple(Gauge(key, Verdict.no_data, Said(f"{key}.no_data", {})) for key in GAUGES)
    return {
        "full": full,
        "empty": replace(full, gauges=none, came_back=None, sentence=Said("top.none", {})),
        "nasty": replace(full, gauges=tuple(_attacked(g) for g in full.gauges)),
    }


def _attacked(g: Gauge) -> Gauge:
    """With names that somebody chose to be read as a page."""
    spots = tuple(
        replace(s, spots=tuple(replace(x, name=NASTY) for x in s.spots)) if s.by != "training" else s for s in g.spots
    )
    pairs = tuple(Pair(NASTY, "2025-05-05", n / 12, n * 5 % 12 / 12) for n in range(12)) if g.key == "alignment" else ()
    parts = {key: NASTY if isinstance(part, str) else part for key, part in g.sentence.parts.items()}
    return replace(g, spots=spots, pairs=pairs, sentence=Said(g.sentence.key, parts))


class Seen:
    """A page that was opened, and what it asked for or complained of."""

    def __init__(self, opened: Page, path: Path) -> None:
        self.page = opened
        self.complaints: list[str] = []
        self.asked: list[str] = []
        opened.on("console", lambda said: self.complaints.append(said.text))
        opened.on("pageerror", lambda error: self.complaints.append(str(error)))
        opened.on("request", self._note)
        opened.route("**/*", self._only_the_file)
        opened.goto(path.as_uri())

    def _note(self, request: Request) -> None:
        self.asked.append(request.url)

    @staticmethod
    def _only_the_file(route: Route) -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            route.abort()


Open = Callable[..., Seen]


@pytest.fixture
def opened(browser: Browser, checkups: dict[str, Checkup], tmp_path: Path) -> Iterator[Open]:
    """Opens a check-up's page in a window."""
    pages: list[Page] = []

    def of(what: str = "full", language: Language = Language.en, width: int = 1280, **window: Any) -> Seen:
        path = tmp_path / f"{what}-{language}.html"
        path.write_text(page(checkups[what], language), encoding="utf-8")
        pages.append(browser.new_page(viewport={"width": width, "height": 900}, **window))
        return Seen(pages[-1], path)

    yield of
    for each in pages:
        each.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("language", Language)
def test_a_page_that_anybody_can_read(
    opened: Open, checkups: dict[str, Checkup], language: Language, width: int
) -> None:
    """No complaint, nothing asked for but the file itself, charts with a text, no rule of accessibility broken, nothing cut off."""
    seen = opened(language=language, width=width)
    here = seen.page
    assert (seen.complaints, len(seen.asked)) == ([], 1)
    assert here.locator("html").get_attribute("lang") == language.value
    assert here.locator("h3").all_inner_texts() == [name(key, language) for key in GAUGES]
    charts = here.locator("svg[role=img]")
    trends = sum(len(g.trends) for g in checkups["full"].gauges)
    assert charts.count() >= trends + 1 > 6
    for chart in charts.all():
        box = chart.bounding_box()
        assert box and box["width"] > 150 and box["height"] > 40 and box["x"] >= 0 and box["x"] + box["width"] <= width
        assert len(chart.get_attribute("aria-label") or "") > 20
        assert chart.locator("path.line, rect.rect, circle").count() > 0
    assert here.locator("details").count() >= trends, "each chart's data can be read as a table"
    assert here.evaluate("document.documentElement.scrollWidth") <= width, "nobody has to scroll sideways"
    levels = here.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels)), "headings lead step by step"
    for details in here.locator("summary").all():
        details.click()
    results = Axe().run(here)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("what", ["full", "empty"])
def test_in_the_dark(opened: Open, what: str) -> None:
    """Contrast holds where somebody prefers dark, and where a company told nothing, too: the page says what it would need."""
    seen = opened(what, color_scheme="dark")
    assert seen.complaints == []
    light = opened(what).page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert Axe().run(seen.page).violations_count == 0
    if what == "empty":
        assert seen.page.locator(".sentence").all_inner_texts() == [
            text(f"{key}.no_data", Language.en) for key in GAUGES
        ]


def test_on_paper(opened: Open) -> None:
    """Printing leaves out what can only be clicked, keeps every gauge, and breaks no table or chart off at the page's edge."""
    here = opened().page
    here.emulate_media(media="print")
    assert not here.locator("details, .skip").first.is_visible()
    assert here.locator("article").count() == here.locator("article:visible").count() == 8
    assert here.evaluate("getComputedStyle(document.querySelector('table')).breakInside") == "avoid"
    assert here.pdf(format="A4").startswith(b"%PDF")


def test_names_are_only_names(opened: Open) -> None:
    """A queue or a release that is called like a script is shown, and not run; nothing is fetched for it."""
    seen = opened("nasty")
    assert (seen.complaints, len(seen.asked)) == ([], 1)
    assert "taken" not in seen.page.title()
    assert seen.page.locator("script, img, iframe, link").count() == 0
    assert NASTY in seen.page.locator("main").inner_text()
    assert seen.page.locator("svg.pairs circle").count() == 12
    assert Axe().run(seen.page).violations_count == 0
