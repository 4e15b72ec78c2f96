"""One section of a problem file: its keys, fetched with their types checked, and errors that say where they are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import cast, final

from pkverify.errors import InputError
from pkverify.expression import Expression, parse_expression
from pkverify.problem import Vector
from pkverify.rational import parse_rational


class TomlFloat(str):
    """A TOML float as it is written: a number that must not become binary, and no text either."""

    __slots__ = ()


@final
@dataclass(frozen=True)
class Section:
    """A table of a problem file.

    Attributes:
        file: The file's name, for messages.
        name: The section's name; empty for the top of the file.
        values: What TOML made of it.

    Example:
        >>> Section("line.toml", "flow", {"horizon": "1/3"}).number("horizon")
        Fraction(1, 3)
    """

    file: str
    name: str
    values: dict[str, object]

    def where(self, key: str) -> str:
        """File, section and key: how every message about the key starts."""
        return f"{self.file}: [{self.name}] {key}" if self.name else f"{self.file}: {key}"

    def error(self, key: str, what: str, why: str, fix: str) -> InputError:
        """An error about a key."""
        return InputError(f"{self.where(key)} {what}", why, fix)

    def check_keys(
        self,
        allowed: Sequence[str],
        elsewhere: Sequence[str] = (),
        choice: str = "",
        homes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Refuse keys that are not allowed.

        Args:
            allowed: The keys that may stand here.
            elsewhere: Keys of this section that go with another choice.
            choice: What was chosen, as the file says it.
            homes: Keys of other sections, and the section where each belongs.

        Raises:
            InputError: For the first key that is not allowed, naming the nearest one that is.
        """
        for key in self.values:
            if key in allowed:
                continue
            named = f"the keys here are {', '.join(allowed)}"
            if key in elsewhere:
                raise self.error(key, f"does not go with {choice}", named, f"remove {key}")
            known = [*allowed, *elsewhere]
            fix = f"move it to [{homes[key]}]" if key in homes else suggestion(key, known)
            raise self.error(_shown(key), "is no known key", named, fix or "remove it")

    def require(self, key: str) -> object:
        """The value of a key that must be there.

        Raises:
            InputError: If it is not.
        """
        if key not in self.values:
            present = difflib.get_close_matches(key, self.values, n=1)
            fix = f"rename {present[0]}" if present else f"add {key} = ..."
            raise self.error(key, "is missing", "a problem cannot be read without it", fix)
        return self.values[key]

    def text(self, key: str) -> str:
        """A string."""
        value = self.require(key)
        if not isinstance(value, str) or isinstance(value, TomlFloat):
            raise self.error(key, f"is {_kind(value)}", "a text is expected here", f'write {key} = "..."')
        return value

    def choice(self, key: str, known: Sequence[str]) -> str:
        """One of the known words."""
        value = self.text(key)
        if value not in known:
            fix = suggestion(value, known) or "choose one of these"
            raise self.error(key, f"= {_shown(value)!r} is not known", f"there are {', '.join(known)}", fix)
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"is {_kind(value)}", "true or false is expected here", f"write {key} = true")
        return value

    def items(self, key: str, what: str) -> list[object]:
        """An array of anything."""
        value = self.require(key)
        if not isinstance(value, list):
            raise self.error(key, f"is {_kind(value)}", f"a list of {what} is expected here", f"write {key} = [...]")
        return cast("list[object]", value)

    def texts(self, key: str, what: str) -> tuple[str, ...]:
        """An array of strings."""
        found: list[str] = []
        for item in self.items(key, what):
            if not isinstance(item, str) or isinstance(item, TomlFloat):
                raise self.error(key, f"has an entry that is {_kind(item)}", f"it is a list of {what}", "quote it")
            found.append(item)
        return tuple(found)

    def integers(self, key: str, what: str) -> tuple[int, ...]:
        """An array of integers."""
        found: list[int] = []
        for item in self.items(key, what):
            if not isinstance(item, int) or isinstance(item, bool):
                raise self.error(
                    key, f"has an entry that is {_kind(item)}", f"it is a list of {what}", "write whole numbers"
                )
            found.append(item)
        return tuple(found)

    def number(self, key: str) -> Fraction:
        """An exact number."""
        return _number(self.require(key), self.where(key))

    def numbers(self, key: str) -> Vector:
        """An array of exact numbers."""
        where = self.where(key)
        return tuple(_number(item, f"{where}, entry {k}") for k, item in enumerate(self.items(key, "numbers"), start=1))

    def rows(self, key: str) -> tuple[Vector, ...]:
        """An array of rows of exact numbers; a bare number is a row of one."""
        where = self.where(key)
        found: list[Vector] = []
        for k, item in enumerate(self.items(key, "rows"), start=1):
            row = cast("list[object]", item) if isinstance(item, list) else [item]
            found.append(tuple(_number(entry, f"{where}, row {k}") for entry in row))
        return tuple(found)

    def expression(self, key: str, names: Iterable[str]) -> Expression:
        """A formula in the given names."""
        return parse_at(self.text(key), names, self.where(key))


def parse_at(text: str, names: Iterable[str], where: str) -> Expression:
    """A formula, with errors that say where it stands."""
    try:
        return parse_expression(text, names)
    except InputError as error:
        raise error.located(where) from None


def suggestion(word: str, known: Sequence[str]) -> str:
    """A question that names the nearest known word, or nothing when none is near."""
    nearest = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.5)
    return f"did you mean {nearest[0]}?" if nearest else ""


def _number(value: object, where: str) -> Fraction:
    if isinstance(value, list | dict):
        raise InputError(f"{where} is {_kind(value)}", "a number is expected here", 'write for example "1/3" or 0.25')
    try:
        return parse_rational(value)
    except InputError as error:
        raise error.located(where) from None


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _kind(value: object) -> str:
    """What TOML calls the value, with its article."""
    match value:
        case bool():
            return "a boolean"
        case int() | TomlFloat():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"
