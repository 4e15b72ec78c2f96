from __future__ import annotations

import ast
import operator
import time
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pkverify.errors import InputError
from pkverify.expression import FUNCTIONS, MAX_DEPTH, Expression, check_names, parse_expression

NAMES = ("w", "x")
X = Fraction(3, 2)
W = Fraction(-2, 5)


class Rationals:
    """Expressions over the rationals, with the two functions that stay there."""

    def number(self, value: Fraction) -> Fraction:
        return value

    def pi(self) -> Fraction:
        return Fraction(22, 7)

    def add(self, terms: Sequence[Fraction]) -> Fraction:
        return sum(terms, Fraction(0))

    def multiply(self, left: Fraction, right: Fraction) -> Fraction:
        return left * right

    def divide(self, left: Fraction, right: Fraction) -> Fraction:
        return left / right

    def power(self, base: Fraction, exponent: Fraction) -> Fraction:
        assert exponent.denominator == 1
        return base ** int(exponent)

    def call(self, function: str, argument: Fraction) -> Fraction:
        return {"relu": max(argument, Fraction(0)), "abs": abs(argument)}[function]


class Calls(Rationals):
    """The rationals, with a record of the functions called."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def call(self, function: str, argument: Fraction) -> Fraction:
        self.called.append(function)
        return argument


def value(text: str) -> Fraction:
    return parse_expression(text, NAMES).build(Rationals(), {"w": W, "x": X})


BINARY: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def independent_value(node: ast.AST) -> Fraction:
    """The value by Python's own grammar, which agrees with ours on all that it shares with it."""
    match node:
        case ast.Expression(body=body):
            return independent_value(body)
        case ast.Constant(value=int(number)):
            return Fraction(number)
        case ast.Name(id=name):
            return {"w": W, "x": X}[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -independent_value(operand)
        case ast.UnaryOp(operand=operand):
            return independent_value(operand)
        case ast.BinOp(op=ast.Pow(), left=left, right=right):
            base, exponent = independent_value(left), independent_value(right)
            assume(exponent.denominator == 1 and abs(exponent) <= 12)
            assume(base.numerator.bit_length() + base.denominator.bit_length() < 500)
            return base ** int(exponent)
        case ast.BinOp(op=op, left=left, right=right):
            return BINARY[type(op)](independent_value(left), independent_value(right))
        case ast.Call(func=ast.Name(id="relu"), args=[argument]):
            return max(independent_value(argument), Fraction(0))
        case ast.Call(func=ast.Name(id="abs"), args=[argument]):
            return abs(independent_value(argument))
        case _:
            raise AssertionError(ast.dump(node))


def formulas() -> st.SearchStrategy[str]:
    """Formulas without needless parentheses, so that precedence decides."""
    leaves = st.sampled_from(["w", "x", "0", "1", "2", "7"])

    def larger(smaller: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        binary = st.tuples(smaller, st.sampled_from(["+", "-", "*", "/", " - ", " * "]), smaller).map("".join)
        signed = st.tuples(st.sampled_from(["-", "+", "--"]), smaller).map("".join)
        wrapped = st.tuples(st.sampled_from(["(", "relu(", "abs("]), smaller).map(lambda t: f"{t[0]}{t[1]})")
        powers = st.tuples(smaller, st.sampled_from(["**2", "**3", "**-1", "**0", "**1", "**(1-3)"])).map("".join)
        return binary | signed | wrapped | powers

    return st.recursive(leaves, larger, max_leaves=12)


@given(formulas())
@settings(max_examples=300)
def test_formulas_mean_what_they_mean_in_python(text: str) -> None:
    try:
        expected = independent_value(ast.parse(text, mode="eval"))
    except ZeroDivisionError:
        assume(False)
        return

    assert value(text) == expected


@given(st.text(max_size=60) | st.text(alphabet="wxpiexplog019.e+-*/() \n_", max_size=60))
@settings(max_examples=400)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expression = parse_expression(text, NAMES)
    except InputError as error:
        lines = str(error).splitlines()
    else:
        assert expression.names <= set(NAMES)
        assert expression.text == text
        return

    assert [line[2:5] for line in lines[1:]] == ["why", "fix"]


GOOD = [
    ("2**3**2", Fraction(512)),
    ("-2**2", Fraction(-4)),
    ("2**-1", Fraction(1, 2)),
    ("--2", Fraction(2)),
    ("1/2/2", Fraction(1, 4)),
    ("2-3-4", Fraction(-5)),
    ("0.1 + 1e-1", Fraction(1, 5)),
    ("(1 + 2) * 3", Fraction(9)),
    ("w*x", W * X),
    ("x**0", Fraction(1)),
    ("0**0", Fraction(1)),
    ("x**1", X),
    ("1**1000 + (-1)**999", Fraction(0)),
    ("pi - 22/7", Fraction(0)),
    ("\tw\n+ x ", W + X),
    ("0.5e1", Fraction(5)),
]


@pytest.mark.parametrize(("text", "expected"), GOOD, ids=[text.strip() for text, _ in GOOD])
def test_values(text: str, expected: Fraction) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_is_called(function: str) -> None:
    algebra = Calls()

    assert parse_expression(f"{function}(x)", NAMES).build(algebra, {"x": X}) == X
    assert algebra.called == [function]


def test_constants_are_folded_and_leave_nothing_behind() -> None:
    assert parse_expression("(1 + 2)*3 - 9", []).steps == parse_expression("0", []).steps
    assert len(parse_expression("(2*3)*w", NAMES).steps) == 3


def test_varying_exponents_become_exponentials() -> None:
    expression = parse_expression("x**w", NAMES)

    assert [step.value for step in expression.steps if step.operation == "call"] == ["log", "exp"]


def test_names_are_those_used() -> None:
    assert parse_expression("w + 1", NAMES).names == {"w"}


BAD = [
    ("", "empty"),
    (" \n", "empty"),
    ("w x", "unexpected 'x'"),
    ("2x", "unexpected 'x'"),
    ("w +", "ends too early"),
    ("(w", "ends too early"),
    ("exp(w", "ends too early"),
    ("w)", "unexpected ')'"),
    ("(w x)", "unexpected 'x'"),
    ("()", "unexpected ')'"),
    ("* w", "unexpected '*'"),
    ("w ^ 2", "unexpected '^'"),
    ("w // 2", "unexpected '/'"),
    ("w % 2", "unexpected '%'"),
    ("w = 2", "unexpected '='"),
    ("w, x", "unexpected ','"),
    ("w.real", "unexpected '.'"),
    ("w[0]", "unexpected '['"),
    ("\u00a0x", "unexpected '\\xa0'"),
    ("w\N{SUPERSCRIPT TWO}", "unexpected '²'"),
    ("é", "unexpected 'é'"),
    ("'w'", 'unexpected "\'"'),
    ("lambda: 1", "unexpected ':'"),
    ('__import__("os")', "unexpected '\"'"),
    ("__import__(w)", "unknown function '__import__'"),
    ("eval(w)", "unknown function 'eval'"),
    ("z", "undeclared name 'z'"),
    ("nan", "undeclared name 'nan'"),
    ("exp", "function 'exp' without its argument"),
    ("exp w", "function 'exp' without its argument"),
    ("exp()", "unexpected ')'"),
    ("pi(2)", "unexpected '('"),
    ("w(2)", "unexpected '('"),
    ("1/0", "division by zero"),
    ("w/(1-1)", "division by zero"),
    ("0**-1", "division by zero"),
    ("0**(-1/2)", "division by zero"),
    ("(-1)**(1/2)", "no real number"),
    ("sqrt(-1)", "no real number"),
    ("log(0)", "no real number"),
    ("(-2)**w", "no real number"),
    ("9**9**9", "exponent too large"),
    ("w**1001", "exponent too large"),
    ("w**(1/1001)", "exponent too large"),
    ("(1e4000)**1000", "constant too large"),
    ("10**1000*10**1000*10**1000*10**1000*10**1000", "constant too large"),
    ("1e99999", "out of range"),
]


@pytest.mark.parametrize(("text", "complaint"), BAD, ids=[repr(text)[:30] for text, _ in BAD])
def test_what_is_outside_the_grammar_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_expression(text, NAMES)

    assert complaint in caught.value.what
    assert caught.value.why
    assert caught.value.fix


def test_messages_name_what_is_nearest() -> None:
    with pytest.raises(InputError) as function:
        parse_expression("tanhh(w)", NAMES)
    with pytest.raises(InputError) as name:
        parse_expression("weight", ["weights", "x"])

    assert "tanh" in function.value.fix
    assert "weights" in name.value.fix


LARGE = {
    "characters": "w+" * 2_500_000 + "w",
    "operations": "+".join(["w"] * 25_000),
    "parentheses": "(" * 10_000 + "w" + ")" * 10_000,
    "signs": "-" * 10_000 + "w",
    "powers": "w" + "**w" * 10_000,
    "calls": "exp(" * 5_000 + "w" + ")" * 5_000,
    "sum of denominators": "+".join(f"1/{k}" for k in range(3, 9_000)),
    "long product": "*".join(["1e3999", "1e-3999"] * 6_000),
    "large power": "(7**999)**999",
    "digits": "9" * 90_000,
    "name": "x" * 90_000,
    "function": "x" * 90_000 + "(w)",
}


@pytest.mark.parametrize("text", LARGE.values(), ids=LARGE.keys())
def test_what_is_too_large_is_refused_soon(text: str) -> None:
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        parse_expression(text, NAMES)

    assert time.process_time() - began < 3
    assert len(str(caught.value)) < 500


def test_nesting_reaches_to_its_limit() -> None:
    text = "(" * MAX_DEPTH + "w" + ")" * MAX_DEPTH

    assert value(text) == W
    with pytest.raises(InputError, match="nesting too deep"):
        parse_expression(f"({text})", NAMES)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["w", "w"], "declared twice"),
        (["exp"], "taken"),
        (["pi"], "taken"),
        (["1w"], "not a name"),
        (["w x"], "not a name"),
        ([""], "not a name"),
        (["é"], "not a name"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(names: list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check_names(names, "[model] params")


def test_equal_texts_give_equal_expressions() -> None:
    assert parse_expression("w*x", NAMES) == parse_expression("w*x", ["x", "w"])
    assert isinstance(parse_expression("w*x", NAMES), Expression)
