"""What people see in a terminal: progress, summaries, frictions as they happen, answers."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from schemas.errors import REASONS
from sinks.clickhouse import jsonable
from volvere.dlq import Box, Replayed
from volvere.doctor import Finding
from volvere.load import Loaded
from volvere.run import Progress, Summary
from volvere.verify import Verified

if TYPE_CHECKING:  # it needs Faust, which takes a while
    from volvere.lag import Lag


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read has seen enough: `main` ends the command in peace."""
        raise BrokenPipeError


def _console(*, stderr: bool = False) -> Console:
    """A terminal has a width; a file or a pipe has none, so that nothing is wrapped or cut there."""
    console = _Console(stderr=stderr)
    return console if console.is_terminal or "COLUMNS" in os.environ else _Console(stderr=stderr, width=100_000)


out = _console()
err = _console(stderr=True)

COLOURS = {"info": "cyan", "warning": "yellow", "error": "red", "critical": "bold red"}


def heading(text: str) -> None:
    """A line that parts what follows from what came before."""
    if out.is_terminal:
        out.rule(Text(text, style="bold"), align="left")
    else:
        out.print(Text(f"\n{text}"), soft_wrap=True)


def problem(text: str, style: str = "red") -> None:
    """Something that went wrong, to standard error, word for word: it may hold what a sender wrote."""
    err.print(Text(text, style=style), soft_wrap=True)


def refusals(first: list[str], total: int) -> None:
    """The first lines that were refused, and how many more there are."""
    for line in first:
        problem(f"refused {line}")
    if total > len(first):
        problem(f"and {total - len(first):,} more")


def friction_line(event: dict[str, Any]) -> Text:
    """One line for a friction event: when, how bad, what, to whom, and the sentence."""
    data = event["data"]
    what = event["type"].rpartition(".")[2]
    colour = COLOURS[data["severity"]] if what in ("opened", "updated") else "green" if what == "resolved" else "dim"
    line = Text(event["time"][:16].replace("T", " "), style="dim")
    line.append(f"  {what:<9} ", style=colour)
    line.append(f"{data['kind']:<17}", style="bold")
    line.append(f"{data['severity']:<9}", style=COLOURS[data["severity"]])
    line.append(f"{data['customer_id'] or 'unknown customer'}  ", style="dim")
    line.append(data["summary"])
    if data["rule"]["mode"] == "shadow":
        line.append("  (shadow)", style="dim")
    return line


def _bars() -> Bars:
    return Bars(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


class RunBars:
    """Progress of a run on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self._bars = _bars()
        self._tasks = [self._bars.add_task(name, total=None) for name in ("sent", "tracked", "stored")]

    def __enter__(self) -> RunBars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, progress: Progress) -> None:
        """Move the bars."""
        total = None if progress.feeding else progress.fed
        for task, done in zip(self._tasks, (progress.fed, progress.tracked, progress.stored), strict=True):
            self._bars.update(task, completed=done, total=total)


class TrialBars:
    """Progress of a trial of rules on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self._bars = _bars()
        self._read, self._looked = (self._bars.add_task(name, total=None) for name in ("read", "looked at"))

    def __enter__(self) -> TrialBars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, read: int, looked: int, subjects: int) -> None:
        """Move the bars."""
        self._bars.update(self._read, completed=read, total=read if subjects else None)
        self._bars.update(self._looked, completed=looked, total=subjects or None)


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Progress of one thing on standard error, where that is a terminal: a function of how many are done, and of all.

    None: how many there are is not known.
    """
    with _bars() as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def loaded(done: Loaded) -> None:
    """What loading files did."""
    out.print(f"{done.stored:,} rows stored, {done.left_out.total():,} left out, {done.refused.total():,} refused")
    for why, count in sorted(done.left_out.items()):
        out.print(Text(f"  left out: {why}: {count:,}"), soft_wrap=True)
    for reason, count in sorted(done.refused.items()):
        out.print(Text(f"  refused: {REASONS.get(reason, reason)}: {count:,}"), soft_wrap=True)
    refusals(done.problems, done.refused.total())


def summary(done: Summary) -> None:
    """What a run did, as a person would want to read it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_row("touchpoints read", f"{done.read:,}")
    for why, count in sorted(done.left_out.items()):
        table.add_row(f"left out: {why}", f"{count:,}")
    for reason, count in sorted(done.refused.items()):
        table.add_row(f"refused: {REASONS.get(reason, reason)}", f"[red]{count:,}[/red]")
    if done.too_late:
        table.add_row("too late (stored, not tracked)", f"[yellow]{done.too_late:,}[/yellow]")
    if done.repeated:
        table.add_row("seen before", f"{done.repeated:,}")
    if done.forwarded:
        table.add_row("forwarded to their partition", f"{done.forwarded:,}")
    for name, count in sorted(done.rows.items()):
        table.add_row(f"rows written: {name}", f"{count:,}")
    table.add_row("seconds", f"{done.seconds:.1f}")
    out.print(table)
    kinds = Table("friction", "standing", box=None, pad_edge=False, header_style="bold")
    kinds.columns[1].justify = "right"
    for kind, count in sorted(done.frictions.items()):
        kinds.add_row(kind, f"{count:,}")
    out.print()
    out.print(kinds if done.frictions else "No friction was found.")
    refusals(done.problems, done.refused.total())


def lag(lines: list[Lag]) -> None:
    """What waits, a line a group and partition."""
    table = Table("worker", "topic", "partition", "waiting", "for", "watermark", "owner", box=None, header_style="bold")
    for line in lines:
        table.add_row(
            line.group,
            line.topic,
            str(line.partition),
            f"{line.records:,}" if line.records else "-",
            "unknown" if line.seconds is None else _duration(line.seconds) if line.records else "-",
            "-" if line.watermark_age is None else f"{_duration(line.watermark_age)} ago",
            line.owner or Text("nobody", style="red"),
        )
    out.print(table)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return (
        f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.0f} h"
        if seconds < 172_800
        else f"{seconds / 86_400:.0f} d"
    )


def letters(box: Box) -> None:
    """Dead letters: how many for which reason, then each. Their text is a sender's, and shown word for word."""
    counts = Table("refused", "reason", "what it means", box=None, pad_edge=False, header_style="bold")
    counts.columns[0].justify = "right"
    for reason, count in box.reasons.most_common():
        counts.add_row(f"{count:,}", Text(reason), REASONS.get(reason, ""))
    out.print(counts if box.reasons else "Nothing was refused.")
    for letter in box.letters:
        out.print()
        line = Text(f"{letter.time}  {letter.place}  ", style="dim")
        line.append(letter.reason, style="red")
        line.append(f"  {letter.field + ': ' if letter.field else ''}{letter.message}", style="not dim")
        out.print(line, soft_wrap=True)
        out.print(Text(letter.beginning), soft_wrap=True)


def letters_json(box: Box) -> dict[str, Any]:
    """The same for programs."""
    told = ("time", "place", "reason", "field", "message", "truncated", "beginning")
    return {
        "reasons": dict(box.reasons.most_common()),
        "letters": [{name: getattr(letter, name) for name in told} for letter in box.letters],
    }


def replayed(done: Replayed, dry_run: bool) -> None:
    """What sending dead letters again did."""
    sent, left = done.sent.total(), done.left.total()
    out.print(f"{sent:,} {'would be sent again' if dry_run else 'sent again'}, {left:,} left")
    for reason in sorted(done.sent.keys() | done.left.keys()):
        out.print(Text(f"  {reason}: {done.sent[reason]:,} sent, {done.left[reason]:,} left"), soft_wrap=True)
    for line in done.problems:
        problem(f"left {line}")
    if left > len(done.problems):
        problem(f"and {left - len(done.problems):,} more")


_VERDICTS = {"ok": "green", "doubtful": "yellow", "wrong": "bold red", "unknown": "dim"}


def findings(found: list[Finding], form: str) -> str | Table:
    """What `volvere doctor` found: a line for each check, and under it what to do."""
    if form != "table":
        return answer(
            ["name", "verdict", "found", "remedy"], [(f.name, f.verdict, f.found, f.remedy) for f in found], form
        )
    table = Table("verdict", "check", "found, and what to do", header_style="bold", box=None, pad_edge=False)
    for f in found:
        what = Text(f.found, style="dim" if f.verdict == "ok" else "")
        if f.remedy:
            what.append(f"{' ' if f.verdict == 'unknown' else chr(10)}→ {f.remedy}", style=_VERDICTS[f.verdict])
        table.add_row(Text(f.verdict, style=_VERDICTS[f.verdict]), Text(f.name), what)
    return table


def verified(done: list[Verified]) -> None:
    """Topics beside their tables."""
    counts = ("records", "things", "stored", "missing", "waiting", "refused", "erased", "expired", "only_stored")
    table = Table("topic", *(name.replace("_", " ") for name in counts), box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in done:
        numbers = {name: f"{getattr(one, name):,}" for name in counts}
        if one.missing:
            numbers["missing"] = f"[red]{numbers['missing']}[/red]"
        table.add_row(one.topic, *numbers.values())
    out.print(table)
    for one in done:
        for line in one.named:
            problem(f"missing {line}")
        if one.missing > len(one.named):
            problem(f"and {one.missing - len(one.named):,} more of {one.topic}")


def answer(names: list[str], rows: list[tuple[object, ...]], form: str) -> str | Table:
    """An answer from ClickHouse as a table, as JSON (an array of objects), or as CSV."""
    if form == "json":
        objects = [dict(zip(names, map(jsonable, row), strict=True)) for row in rows]
        return msgspec.json.format(msgspec.json.encode(objects), indent=2).decode()
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(value, "") for value in row] for row in rows)
        return text.getvalue().rstrip("\n")
    table = Table(*names, header_style="bold", row_styles=["", "dim"])
    for row in rows:
        table.add_row(*(Text(_cell(value, "–")) for value in row))
    return table


def _cell(value: object, nothing: str) -> str:
    plain = jsonable(value)
    if plain is None:
        return nothing
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()
