"""Training data from a CSV file beside the problem file: columns by name, cells as exact numbers or class names."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from pkverify.errors import InputError
from pkverify.problem import Dataset, Vector
from pkverify.problem_file.section import Section, suggestion
from pkverify.rational import parse_rational

MAX_CLASSES = 1000
MAX_CELLS = 5_000_000
_NEEDS_TARGET = ("squared", "softmax-cross-entropy", "logistic")


def read_csv_data(section: Section, base: Path, loss_kind: str, max_bytes: int) -> Dataset:
    """The examples that a ``[data]`` section with ``csv`` points to.

    For the softmax loss a single target column holds class names; it becomes one-hot, classes in sorted order.

    Args:
        section: The ``[data]`` section.
        base: The folder that the path is relative to.
        loss_kind: The kind of the loss.
        max_bytes: The largest file to read.

    Raises:
        InputError: For a file, column or cell that cannot be used.
    """
    name = section.text("csv")
    text = _read(section, base, name, max_bytes)
    inputs = section.texts("inputs", "column names")
    if not inputs:
        raise section.error("inputs", "is empty", "a model has one input or more", "name the columns")
    target = section.values.get("target")
    if target is None and loss_kind in _NEEDS_TARGET:
        raise section.error(
            "target", "is missing", f"the loss {loss_kind} compares outputs with targets", "name a column"
        )
    one_hot = loss_kind == "softmax-cross-entropy" and isinstance(target, str)
    table = _Table(section, name, text)
    columns = [table.numbers("inputs", column) for column in inputs]
    rows: tuple[Vector, ...] = tuple(zip(*columns, strict=True))
    if one_hot:
        classes, codes = _one_hot(section, table.cells("target", section.text("target")))
        return Dataset(rows, codes, classes)
    if target is None:
        return Dataset(rows, ((),) * len(rows))
    targets = section.texts("target", "column names") if isinstance(target, list) else (section.text("target"),)
    binary = loss_kind == "logistic"
    answers = [table.numbers("target", column, binary=binary) for column in targets]
    return Dataset(rows, tuple(zip(*answers, strict=True)) if answers else ((),) * len(rows))  # target = [] has none


def _read(section: Section, base: Path, name: str, max_bytes: int) -> str:
    """The text of the file, if it is a regular file of UTF-8 text and not too large."""
    try:
        path = base / name
        if path.is_dir():
            raise section.error(
                "csv", f"= {name!r} is a directory", "a CSV file is expected here", "name the file in it"
            )
        if not path.is_file():
            raise section.error(
                "csv",
                f"= {name!r} is not there",
                "paths are relative to the folder of the problem file",
                "correct the path, or put the file beside the problem file",
            )
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise section.error("csv", f"= {name!r} cannot be read", str(error), "check the path") from None
    if len(content) > max_bytes:
        raise section.error("csv", f"= {name!r} is too large", f"at most {max_bytes} bytes are read", "take fewer rows")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"byte {error.start + 1} is not UTF-8"
        raise section.error("csv", f"= {name!r} is not text", why, "save it as UTF-8") from None
    if "\0" in text:
        raise section.error("csv", f"= {name!r} is not text", "it holds null characters", "save it as UTF-8 text")
    return text


class _Table:
    """The header and the rows of a CSV file, with the line that each row stands on."""

    def __init__(self, section: Section, name: str, text: str) -> None:
        self._section = section
        self._name = name
        self._rows: list[tuple[int, list[str]]] = []
        reader = csv.reader(io.StringIO(text, newline=""))
        try:
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
        except csv.Error as error:
            raise self._error("csv", f"line {reader.line_num} is malformed", str(error), "correct the line") from None
        if not lines:
            raise self._error("csv", "no header", "the first line names the columns", "add a header line")
        (_, self._header), *self._rows = lines
        if not self._rows:
            raise self._error("csv", "no rows", "the theorem needs at least one training example", "add rows")
        for line, row in self._rows:
            if len(row) != len(self._header):
                raise self._error(
                    "csv",
                    f"line {line} has {len(row)} cells",
                    f"the header has {len(self._header)}",
                    "give every line a cell for each column",
                )

    def cells(self, key: str, column: str) -> list[str]:
        """The cells of a column as text."""
        count = self._header.count(column)
        if count != 1:
            raise self._error(
                key,
                f"column {column!r} " + ("is not there" if count == 0 else "is there twice"),
                f"the columns are {', '.join(self._header[:20])}",
                suggestion(column, self._header) if count == 0 else "rename one of them",
            )
        place = self._header.index(column)
        for line, row in self._rows:
            if not row[place]:
                raise self._error(
                    key,
                    f"line {line}, column {column!r} is empty",
                    "every example needs all its numbers",
                    "fill the cell or remove the line",
                )
        return [row[place] for _, row in self._rows]

    def numbers(self, key: str, column: str, *, binary: bool = False) -> Vector:
        """The cells of a column as exact numbers."""
        found: list[Fraction] = []
        for (line, _), cell in zip(self._rows, self.cells(key, column), strict=True):
            try:
                found.append(parse_rational(cell))
            except InputError as error:
                fix = "write the classes as 0 and 1" if binary else error.fix
                raise self._error(key, f"line {line}, column {column!r}: {error.what}", error.why, fix) from None
        return tuple(found)

    def _error(self, key: str, what: str, why: str, fix: str) -> InputError:
        return InputError(f"{self._section.where(key)}: {self._name}, {what}", why, fix or "name one of these")


def _one_hot(section: Section, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[Vector, ...]]:
    """The classes in order, and a one-hot row for each name."""
    classes = sorted_classes(set(names))
    if len(classes) > MAX_CLASSES or len(classes) * len(names) > MAX_CELLS:
        raise section.error(
            "target",
            f"has {len(classes)} classes",
            f"at most {MAX_CLASSES} classes, and {MAX_CELLS} one-hot cells, are read",
            "check that the column holds class names",
        )
    codes = {name: tuple(Fraction(int(other == name)) for other in classes) for name in classes}
    return classes, tuple(codes[name] for name in names)


def sorted_classes(names: set[str]) -> tuple[str, ...]:
    """Class names in order: as numbers where all of them are numbers, as text otherwise.

    Example:
        >>> sorted_classes({"10", "9"}), sorted_classes({"b", "a10", "a9"})
        (('9', '10'), ('a10', 'a9', 'b'))
    """
    try:
        return tuple(sorted(names, key=lambda name: (parse_rational(name), name)))
    except InputError:
        return tuple(sorted(names))
