"""What is wrong with a TOML file that somebody wrote: file, line, key, and what was expected.

TOML's reader forgets lines, so they are found again in the text, by the path of the key.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

T = TypeVar("T", bound=BaseModel)
Key = tuple[str | int, ...]
"""The path of a value: names of tables and keys, numbers in lists from 0."""


class Problems:
    """What is wrong with a text, a line each."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.lines: list[str] = []

    def add(self, path: Key, message: str) -> None:
        """Note what is wrong with the value there. Twice is once."""
        where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in path)
        line = f"{self.name}{_line(path, self.text)}: {where}: {message}"
        if line not in self.lines:
            self.lines.append(line)

    def judged(self, model: type[T], value: Any, path: Key) -> T | None:
        """The value as a model; None, with every problem noted, if it is none."""
        try:
            return model.model_validate(value)
        except ValidationError as e:
            for error in e.errors(include_url=False):
                loc = tuple(part for part in error["loc"] if part != "[key]")
                message = error["msg"].removeprefix("Value error, ")
                if error["type"] == "extra_forbidden":
                    known = _known(model, loc[:-1])
                    message = "unknown key" + (f"; expected one of {', '.join(known)}" if known else "")
                self.add(path + loc, message[0].lower() + message[1:])
            return None


def _known(model: Any, path: Key) -> list[str]:
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return sorted(getattr(model, "model_fields", {}))


def _line(path: Key, text: str) -> str:
    """The ":LINE" of the key, as well as can be told without a second parser; "" if it is not written out."""
    best, length = "", 0
    table: Key = ()
    tables: Counter[Key] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[?)\[\s*([^\]]+?)\s*\]", line):
            table = ()
            for part in _parts(header[2]):
                table = (*table, part)
                if table in tables:  # what stands below a list of tables belongs to its latest
                    table = (*table, tables[table] - 1)
            if header[1]:
                listed = table[:-1] if isinstance(table[-1], int) else table
                table = (*listed, tables[listed])
                tables[listed] += 1
                if path == listed and not best:
                    return f":{number}"
            here = table
        elif key := re.match(r"""\s*((?:[\w.-]|"[^"]*"|'[^']*')+)\s*=""", line):
            here = (*table, *_parts(key[1]))
        else:
            continue
        if len(here) > length and path[: len(here)] == here:
            best, length = f":{number}", len(here)
    return best


def _parts(key: str) -> list[str]:
    return [part.strip(" \"'") for part in key.split(".")]
