"""The grammar of model and loss expressions: text in, checked expression out, nothing ever evaluated as code.

    sum      := product (("+" | "-") product)*
    product  := unary (("*" | "/") unary)*
    unary    := ("+" | "-") unary | power
    power    := atom ("**" unary)?
    atom     := number | name | function "(" sum ")" | "(" sum ")"

An ``Expression`` is a straight-line program in the order of evaluation. It is replayed over an ``Algebra``
(graph nodes, SymPy, numbers) by ``Expression.build``, so that no consumer ever walks text or recurses over a tree.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, TypeVar

from pkverify.errors import InputError
from pkverify.rational import parse_rational

FUNCTIONS = (
    "exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "atan",
    "sigmoid", "softplus", "relu", "abs", "erf",
)  # fmt: skip
CONSTANTS = ("pi",)

MAX_CHARACTERS = 100_000
MAX_DEPTH = 60  # each level takes up to six Python frames, of the 1000 that Python allows
MAX_NODES = 20_000
MAX_EXPONENT = 1000
MAX_CONSTANT_BITS = 14_000

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<symbol>\*\*|[-+*/()]))",
    re.ASCII,
)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SPACES = " \t\n\r\f\v"  # what \s is in ASCII; other white space is no part of the grammar

T = TypeVar("T")


class Algebra(Protocol[T]):
    """What an expression is built over: any type with these operations."""

    def number(self, value: Fraction) -> T: ...
    def pi(self) -> T: ...
    def add(self, terms: Sequence[T]) -> T: ...
    def multiply(self, left: T, right: T) -> T: ...
    def divide(self, left: T, right: T) -> T: ...
    def power(self, base: T, exponent: Fraction) -> T: ...
    def call(self, function: str, argument: T) -> T: ...


@dataclass(frozen=True)
class Step:
    """One operation: its name, the earlier steps it uses, and a number or a name where it needs one."""

    operation: str
    arguments: tuple[int, ...] = ()
    value: Fraction | str | None = None


@dataclass(frozen=True)
class Expression:
    """A checked expression: the text it was read from and its operations in the order of evaluation.

    Example:
        >>> sorted(parse_expression("w*x + 1/2", ["w", "x"]).names)
        ['w', 'x']
    """

    text: str
    steps: tuple[Step, ...]

    @property
    def names(self) -> frozenset[str]:
        """The declared names that the expression uses."""
        return frozenset(str(step.value) for step in self.steps if step.operation == "name")

    def build(self, algebra: Algebra[T], values: Mapping[str, T]) -> T:
        """Replay the operations over an algebra, with a value for each name."""
        results: list[T] = []
        for step in self.steps:
            operands = [results[k] for k in step.arguments]
            match step.operation:
                case "number":
                    assert isinstance(step.value, Fraction)
                    results.append(algebra.number(step.value))
                case "name":
                    results.append(values[str(step.value)])
                case "pi":
                    results.append(algebra.pi())
                case "add":
                    results.append(algebra.add(operands))
                case "multiply":
                    results.append(algebra.multiply(*operands))
                case "divide":
                    results.append(algebra.divide(*operands))
                case "power":
                    assert isinstance(step.value, Fraction)
                    results.append(algebra.power(operands[0], step.value))
                case _:
                    results.append(algebra.call(str(step.value), operands[0]))
        return results[-1]


def parse_expression(text: str, names: Iterable[str]) -> Expression:
    """Read an expression in the declared names.

    Args:
        text: The expression, at most ``MAX_CHARACTERS`` characters.
        names: The names it may use, besides the functions and ``pi``.

    Returns:
        The expression, with constant parts folded to rationals.

    Raises:
        InputError: For anything outside the grammar, an undeclared name, or an expression that is too large.

    Example:
        >>> parse_expression("2**3 * w", ["w"]).steps[0].value
        Fraction(8, 1)
    """
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"expression of {len(text)} characters",
            f"at most {MAX_CHARACTERS} are read",
            "simplify the model or use a built-in one",
        )
    if not text.strip(_SPACES):
        raise InputError("empty expression", "a model or loss needs a formula", 'write for example "w*x"')
    return Expression(text, tuple(_Parser(text, frozenset(names)).parse()))


def check_names(names: Sequence[str], what: str) -> None:
    """Check that declared names can be told apart from each other, from the functions and from ``pi``.

    Raises:
        InputError: For a name that is taken twice, reserved, or not an identifier.
    """
    seen: set[str] = set()
    for name in names:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{what}: {name!r} is not a name",
                "names are letters, digits and _, starting with a letter",
                "rename it",
            )
        if name in FUNCTIONS or name in CONSTANTS:
            raise InputError(
                f"{what}: {name!r} is taken", "it names a function or constant of the grammar", "rename it"
            )
        if name in seen:
            raise InputError(
                f"{what}: {name!r} is declared twice", "every name stands for one thing", "rename one of them"
            )
        seen.add(name)


class _Parser:
    """Recursive descent over the tokens, with a bounded depth; emits steps and folds constants."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        self._text = text
        self._names = names
        self._tokens = self._tokenize()
        self._next = 0
        self._depth = 0
        self._steps: list[Step] = []

    def parse(self) -> list[Step]:
        result = self._sum()
        if self._peek() is not None:
            raise self._error("unexpected", "an operator or the end stands here", "check the parentheses and operators")
        return self._referenced(result)

    def _tokenize(self) -> list[tuple[str, str, int]]:
        tokens: list[tuple[str, str, int]] = []
        position, text = 0, self._text.rstrip(_SPACES)
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                at = len(text) - len(text[position:].lstrip(_SPACES))
                hint = (
                    "powers are written **"
                    if text[at] == "^"
                    else "only + - * / **, parentheses, numbers, declared names and the listed functions"
                )
                raise InputError(
                    f"unexpected {text[at]!r} at character {at + 1} of {_excerpt(text, at)}",
                    "it is not part of the grammar",
                    hint,
                )
            kind = str(match.lastgroup)
            tokens.append((kind, match.group(kind), match.start(kind)))
            position = match.end()
        return tokens

    def _peek(self) -> str | None:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else None

    def _take(self) -> tuple[str, str, int]:
        if self._next >= len(self._tokens):
            raise InputError(
                f"{_excerpt(self._text, len(self._text))} ends too early",
                "an operand is missing",
                "complete the expression",
            )
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _error(self, what: str, why: str, fix: str) -> InputError:
        _, token, at = self._tokens[min(self._next, len(self._tokens) - 1)]
        return InputError(f"{what} {token[:40]!r} at character {at + 1} of {_excerpt(self._text, at)}", why, fix)

    def _emit(self, operation: str, arguments: tuple[int, ...] = (), value: Fraction | str | None = None) -> int:
        if len(self._steps) >= MAX_NODES:
            raise InputError(
                "expression too large",
                f"at most {MAX_NODES} operations are read",
                "simplify the model or use a built-in one",
            )
        self._steps.append(Step(operation, arguments, value))
        return len(self._steps) - 1

    def _number(self, value: Fraction) -> int:
        return self._emit("number", (), self._checked(value))

    def _checked(self, value: Fraction, power: int = 1) -> Fraction:
        """The number, if its power to come stays small enough to be worth computing."""
        if (max(value.numerator.bit_length(), value.denominator.bit_length()) - 1) * power >= MAX_CONSTANT_BITS:
            raise self._error(
                "constant too large near", f"constants have at most {MAX_CONSTANT_BITS} bits", "use a smaller power"
            )
        return value

    def _constant(self, step: int) -> Fraction | None:
        value = self._steps[step].value
        return value if self._steps[step].operation == "number" and isinstance(value, Fraction) else None

    def _sum(self) -> int:
        terms = [self._product()]
        while self._peek() in {"+", "-"}:
            sign = self._take()[1]
            term = self._product()
            terms.append(self._negated(term) if sign == "-" else term)
        if len(terms) == 1:
            return terms[0]
        constants = [value for value in map(self._constant, terms) if value is not None]
        if len(constants) == len(terms):
            total = constants[0]
            for constant in constants[1:]:
                total = self._checked(total + constant)  # at every term: denominators grow with each
            return self._number(total)
        return self._emit("add", tuple(terms))

    def _negated(self, step: int) -> int:
        constant = self._constant(step)
        if constant is not None:
            return self._number(-constant)
        return self._emit("multiply", (self._number(Fraction(-1)), step))

    def _product(self) -> int:
        left = self._unary()
        while self._peek() in {"*", "/"}:
            operator = self._take()[1]
            right = self._unary()
            a, b = self._constant(left), self._constant(right)
            if operator == "/" and b == 0:
                raise self._error(
                    "division by zero near", "a quotient needs a divisor that is not zero", "correct the divisor"
                )
            if a is not None and b is not None:
                left = self._number(a * b if operator == "*" else a / b)
            else:
                left = self._emit("multiply" if operator == "*" else "divide", (left, right))
        return left

    def _unary(self) -> int:
        if self._peek() not in {"+", "-"}:
            return self._power()
        self._enter()
        sign = self._take()[1]
        operand = self._unary()
        self._depth -= 1
        return self._negated(operand) if sign == "-" else operand

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(
                "nesting too deep at", f"at most {MAX_DEPTH} levels are read", "remove needless parentheses or signs"
            )

    def _power(self) -> int:
        base = self._atom()
        if self._peek() != "**":
            return base
        self._enter()
        self._take()
        exponent = self._unary()
        self._depth -= 1
        constant, value = self._constant(base), self._constant(exponent)
        if value is None:  # base**exponent with an exponent that varies: exp(exponent * log(base)), for a positive base
            self._check_argument("log", base)
            logarithm = self._emit("call", (base,), "log")
            return self._emit("call", (self._emit("multiply", (exponent, logarithm)),), "exp")
        if abs(value.numerator) > MAX_EXPONENT or value.denominator > MAX_EXPONENT:
            raise self._error(
                "exponent too large near",
                f"exponents reach from -{MAX_EXPONENT} to {MAX_EXPONENT}",
                "use a smaller power",
            )
        if constant == 0 and value < 0:
            raise self._error("division by zero near", "0 has no negative power", "correct the exponent")
        if constant is not None and constant < 0 and value.denominator > 1:
            raise self._error("no real number near", "a root of a negative number is not real", "correct the base")
        if constant is not None and value.denominator == 1:
            self._checked(constant, abs(int(value)))
            return self._number(constant ** int(value))
        if value == 0:  # as a polynomial has it; derivatives of a power must never meet the exponent 0
            return self._number(Fraction(1))
        return base if value == 1 else self._emit("power", (base,), value)

    def _check_argument(self, function: str, argument: int) -> None:
        """Refuse a constant where the function has no real value."""
        constant = self._constant(argument)
        if constant is not None and (constant < 0 if function == "sqrt" else function == "log" and constant <= 0):
            raise self._error("no real number near", f"{function} of {str(constant)[:40]} is not real", "correct it")

    def _atom(self) -> int:
        kind, token, _ = self._take()
        self._next -= 1
        if kind == "number":
            self._next += 1
            return self._number(parse_rational(token))
        if kind == "name":
            return self._named(token)
        if token != "(":
            raise self._error("unexpected", "a number, a name or a parenthesis stands here", "complete the expression")
        self._next += 1
        return self._closed(token)

    def _named(self, name: str) -> int:
        if name in self._names:
            self._next += 1
            return self._emit("name", (), name)
        if name in CONSTANTS:
            self._next += 1
            return self._emit(name)
        if name not in FUNCTIONS:
            called = self._next + 1 < len(self._tokens) and self._tokens[self._next + 1][1] == "("
            known = sorted(FUNCTIONS) if called else sorted(self._names | set(CONSTANTS))
            nearest = difflib.get_close_matches(name, known, n=1)
            raise self._error(
                "unknown function" if called else "undeclared name",
                ("the functions are " if called else "the declared names are ") + (", ".join(known[:20]) or "none"),
                f"did you mean {nearest[0]!r}?" if nearest else "use one of these, or declare it",
            )
        self._next += 1
        if self._peek() != "(":
            raise InputError(
                f"function {name!r} without its argument in {_excerpt(self._text, 0)}",
                "functions are applied",
                f"write {name}(...)",
            )
        self._next += 1
        argument = self._closed(name)
        self._check_argument(name, argument)
        return self._emit("call", (argument,), name)

    def _closed(self, opened: str) -> int:
        """The sum up to the closing parenthesis of what was opened."""
        self._enter()
        inside = self._sum()
        if self._peek() != ")":
            if self._peek() is None:
                raise InputError(
                    f"{_excerpt(self._text, len(self._text))} ends too early",
                    f"the parenthesis of {opened!r} is not closed",
                    "add )",
                )
            raise self._error("unexpected", "a closing parenthesis stands here", "check the parentheses")
        self._next += 1
        self._depth -= 1
        return inside

    def _referenced(self, result: int) -> list[Step]:
        """The steps that the result uses, renumbered: folding leaves constants behind that nothing uses."""
        used, stack = set[int](), [result]
        while stack:
            step = stack.pop()
            if step not in used:
                used.add(step)
                stack.extend(self._steps[step].arguments)
        number = {old: new for new, old in enumerate(sorted(used))}
        return [
            Step(step.operation, tuple(number[k] for k in step.arguments), step.value)
            for step in (self._steps[old] for old in sorted(used))
        ]


def _excerpt(text: str, at: int) -> str:
    """The expression, or the stretch of it around a position, quoted for a message."""
    if len(text) <= 60:
        return repr(text)
    start = max(0, min(at, len(text)) - 30)
    return repr(f"...{text[start : start + 60]}...")
