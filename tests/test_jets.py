from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest
from mpmath import mp, mpf

from pkverify.arithmetic.fixed_point import DomainError, FixedPoint
from pkverify.arithmetic.rationals import IrrationalError, Rationals
from pkverify.expression import FUNCTIONS, parse_expression
from pkverify.graph import Graph
from pkverify.jets import Expansion, KinkError

ORDER = 12
ONE = Fraction(1)
PATH = (Fraction(3, 5), Fraction(1, 2), Fraction(-1, 7), Fraction(2, 11))  # w(t), its coefficients
OTHER = (Fraction(-4, 3), Fraction(1, 5), Fraction(1, 3))  # v(t)
SMOOTH = [f for f in FUNCTIONS if f not in {"relu", "abs"}]
BITS = [
    pytest.param(200, id="Python integers"),
    pytest.param(500, id="FLINT integers"),
]


class Real:
    """Formulas over mpmath numbers."""

    def number(self, value: Fraction) -> Any:
        return mpf(value.numerator) / value.denominator

    def pi(self) -> Any:
        return +mp.pi

    def add(self, terms: Sequence[Any]) -> Any:
        return sum(terms, mpf(0))

    def multiply(self, left: Any, right: Any) -> Any:
        return left * right

    def divide(self, left: Any, right: Any) -> Any:
        return left / right

    def power(self, base: Any, exponent: Fraction) -> Any:
        return base ** int(exponent) if exponent.denominator == 1 else base ** self.number(exponent)

    def call(self, function: str, argument: Any) -> Any:
        match function:
            case "sigmoid":
                return 1 / (1 + mp.exp(-argument))
            case "softplus":
                return mp.log1p(mp.exp(argument))
            case "relu":
                return max(argument, mpf(0))
            case "abs":
                return abs(argument)
            case _:
                return getattr(mp, function)(argument)


def expanded(
    text: str,
    bits: int = 200,
    order: int = ORDER,
    x: Fraction = ONE,
    paths: Sequence[Sequence[Fraction]] = (PATH, OTHER),
    branches: Mapping[int, int] | None = None,
    arithmetic: Any = None,
) -> tuple[Expansion, list[Any]]:
    """The expansion and the coefficients of a formula in w, v and x, along the polynomials w(t) and v(t)."""
    graph, numbers = Graph(), arithmetic or FixedPoint(bits)
    names = {"w": graph.leaf("param", 0), "v": graph.leaf("param", 1), "x": graph.leaf("input", 0)}
    node = parse_expression(text, names).build(graph, names)
    lists: list[list[Any]] = [[] for _ in paths]
    expansion = Expansion(graph, [node], numbers, {("input", 0): x}, lists)
    run(expansion, numbers, lists, paths, order, branches)
    return expansion, expansion.series[node]


def run(
    expansion: Expansion,
    numbers: Any,
    lists: Sequence[list[Any]],
    paths: Sequence[Sequence[Fraction]],
    order: int,
    branches: Mapping[int, int] | None = None,
) -> None:
    for k in range(order + 1):
        for series, path in zip(lists, paths, strict=True):
            if k == 0:
                series.clear()
            series.append(numbers.number(path[k] if k < len(path) else Fraction(0)))
        if k == 0:
            expansion.start(branches)
        else:
            expansion.advance(k)


def taylor(text: str, bits: int = 200, x: Fraction = ONE) -> list[Any]:
    """The same coefficients by mpmath, which differentiates numerically."""
    formula, algebra = parse_expression(text, ["w", "v", "x"]), Real()

    def along(t: Any) -> Any:
        w, v = (mp.polyval([algebra.number(c) for c in reversed(path)], t) for path in (PATH, OTHER))
        return formula.build(algebra, {"w": w, "v": v, "x": algebra.number(x)})

    with mp.workprec(bits + 60):
        return mp.taylor(along, 0, ORDER)


def gap(found: Sequence[Any], expected: Sequence[Any], bits: int) -> float:
    """The largest difference, in units of the number type, relative to the size of the coefficients."""
    with mp.workprec(bits + 60):
        size = max(mpf(1), *map(abs, expected))
        pairs = zip(found, expected, strict=True)
        return float(max(abs(mpf(int(a)) - mp.ldexp(b, bits)) for a, b in pairs) / size)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("name", SMOOTH)
def test_coefficients_of_each_function_are_those_of_mpmath(name: str, bits: int) -> None:
    text = f"{name}(w)"

    assert gap(expanded(text, bits)[1], taylor(text, bits), bits) < 100


COMPOSITIONS = [
    "log(1 + exp(w))", "tanh(sin(w))", "1/w", "1/(w*v)", "w**2", "(w*v)**2", "w**(3/2)", "w**(-1/3)", "w**5", "w**(-3)",
    "erf(w*v)", "atan(w/v)", "exp(sin(w)*cos(v))", "sinh(w)*cosh(w)", "cosh(w)", "sinh(w) + cosh(w*v)", "cosh(sinh(w))",
    "sin(w)**2 + cos(w)**2", "cos(w) - sin(w)", "tan(atan(w))", "sigmoid(softplus(w))", "softplus(sigmoid(v))",
    "sqrt(1 + w**2)", "log(w)**2", "exp(exp(w))", "exp(-w**2)", "w**v", "sigmoid(w)*(1 - sigmoid(w))",
    "tanh(tanh(tanh(w)))",
    "w", "w*v", "3*w - 2/7*v + 1/9", "pi*w*x", "w*x**3 + sqrt(x)", "exp(w)*exp(-w)", "sin(2*w) - 2*sin(w)*cos(w)",
    "sqrt(w)*sqrt(w)", "erf(erf(w))", "atan(exp(w))", "log(cosh(w))", "sinh(w)/cosh(w) - tanh(w)",
]  # fmt: skip


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("text", COMPOSITIONS)
def test_coefficients_of_compositions_are_those_of_mpmath(text: str, bits: int) -> None:
    x = Fraction(7, 4)

    assert gap(expanded(text, bits, x=x)[1], taylor(text, bits, x=x), bits) < 1000


@pytest.mark.parametrize("name", SMOOTH)
def test_a_wrong_slope_is_seen_from_order_1_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = taylor(f"{name}(w)")
    original = Graph._derive
    monkeypatch.setattr(
        Graph,
        "_derive",
        lambda graph, number: graph.multiply(original(graph, number), graph.number(1 + Fraction(1, 10**30))),
    )
    found = expanded(f"{name}(w)")[1]

    assert gap(found[:1], expected[:1], 200) < 100
    assert all(gap([a], [b], 200) > 2**80 for a, b in zip(found[1:], expected[1:], strict=True))


@pytest.mark.parametrize("text", ["sinh(w)", "cosh(w)", "sinh(w) + 2*cosh(w)", "cosh(w)*v + sinh(w)"])
@pytest.mark.parametrize("first", ["function", "slope"])
def test_functions_that_are_each_others_slopes_may_come_in_any_order(text: str, first: str) -> None:
    graph, numbers, lists = Graph(), FixedPoint(200), [[], []]
    names = {"w": graph.leaf("param", 0), "v": graph.leaf("param", 1), "x": graph.leaf("input", 0)}
    node = parse_expression(text, names).build(graph, names)
    slopes = graph.gradient({node: graph.number(ONE)}, [names["w"]])
    expansion = Expansion(graph, [node, *slopes] if first == "function" else [*slopes, node], numbers, {}, lists)
    run(expansion, numbers, lists, (PATH, OTHER), ORDER)

    assert gap(expansion.series[node], taylor(text), 200) < 1000


@pytest.mark.parametrize("text", ["w**3*v - 2*w + 1/3", "w/(1 + v**2)", "1/w - v**(-2)", "(w*v)**2*(w - v)"])
def test_over_rationals_the_coefficients_are_exact(text: str) -> None:
    found = expanded(text, arithmetic=Rationals(), order=6)[1]
    expected = taylor(text)

    assert all(isinstance(c, Fraction) for c in found)
    with mp.workprec(200):
        assert all(abs(Real().number(a) - b) < mpf(2) ** -150 for a, b in zip(found, expected, strict=False))


def test_over_rationals_a_polynomial_of_a_polynomial_ends_where_it_must() -> None:
    found = expanded("w**2*v", arithmetic=Rationals(), order=12)[1]  # degree 3 * 2 + 2

    assert found[8] == PATH[3] ** 2 * OTHER[2]
    assert found[9:] == [0] * 4


@pytest.mark.parametrize("text", ["exp(w)", "pi*w", "sqrt(2*x)*w", "w**(1/2)"])
def test_over_rationals_nothing_is_rounded_silently(text: str) -> None:
    with pytest.raises(IrrationalError):
        expanded(text, arithmetic=Rationals())


@pytest.mark.parametrize("bits", BITS)
def test_an_expansion_started_again_forgets_the_one_before(bits: int) -> None:
    graph, numbers = Graph(), FixedPoint(bits)
    w = graph.leaf("param", 0)
    text = "tanh(w)*exp(w) + 1/w + cosh(w)*sqrt(w)"
    node = parse_expression(text, ["w"]).build(graph, {"w": w})
    series: list[Any] = []
    expansion = Expansion(graph, [node], numbers, {}, [series])
    for path, order in (([Fraction(2), Fraction(-1, 3)], 7), ([Fraction(1, 2), ONE], 3), (PATH, ORDER)):
        run(expansion, numbers, [series], [path], order)

    assert gap(expansion.series[node], taylor(text, bits), bits) < 1000


def test_constants_of_the_row_are_numbers_and_only_what_varies_is_a_series() -> None:
    graph, numbers = Graph(), FixedPoint(100)
    w, x, t = graph.leaf("param", 0), graph.leaf("input", 0), graph.leaf("target", 1)
    feature = graph.call("exp", graph.multiply(x, t))
    expansion = Expansion(
        graph, [graph.multiply(w, feature)], numbers, {("input", 0): ONE, ("target", 1): 2 * ONE}, [[]]
    )

    assert numbers.text(expansion.constants[feature], 12) == "7.38905609893"
    assert set(expansion.series) & set(expansion.constants) == set()


# Kinks.

PIECES = {
    # text, x, the piece that relu or abs stands for where w = 3/5 and v = -4/3
    "relu, positive": ("relu(w*v + 1)", "w*v + 1"),
    "relu, negative": ("relu(w*v)", "0*w"),
    "abs, positive": ("abs(w) + v", "w + v"),
    "abs, negative": ("abs(w*v)", "-w*v"),
    "relu of relu": ("relu(1 - relu(w))", "1 - w"),
    "abs of relu": ("abs(relu(v) - w)", "w + 0*v"),
    "functions around it": ("exp(abs(v)*relu(w)) - tanh(relu(v))", "exp(-v*w)"),
}


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("case", PIECES)
def test_relu_and_abs_follow_the_side_on_which_they_are(case: str, bits: int) -> None:
    text, piece = PIECES[case]

    assert gap(expanded(text, bits)[1], taylor(piece, bits), bits) < 1000


def test_kinks_are_named_with_the_sides_taken() -> None:
    expansion, _ = expanded("relu(w*v) + abs(w)")
    names = {expansion.kink_name(argument): expansion.branches[argument] for argument in expansion.kinks}

    assert names == {"relu": -1, "abs": 1}


AT_KINK = (Fraction(0), ONE, Fraction(1, 3))


@pytest.mark.parametrize(
    "text", ["relu(w)", "abs(w)", "relu(2*w*v)", "abs(w) + relu(v)", "relu(sin(w))", "exp(relu(-w))"]
)
def test_an_argument_that_vanishes_is_a_kink(text: str) -> None:
    with pytest.raises(KinkError):
        expanded(text, paths=(AT_KINK, OTHER))


@pytest.mark.parametrize(
    "text", ["relu(w + 1)", "abs(w - 1/2)", "tanh(w)", "relu(w**2 + v**2)", "relu(v) + w", "w*abs(v)"]
)
def test_an_argument_that_does_not_vanish_is_none(text: str) -> None:
    expanded(text, paths=(AT_KINK, OTHER))


@pytest.mark.parametrize(
    ("text", "side", "piece"),
    [("relu(w)", 1, "w"), ("relu(w)", -1, "0*w"), ("abs(w)", 1, "w"), ("abs(w)", -1, "-w"), ("relu(w)*v", 1, "w*v")],
)
def test_a_branch_that_is_given_is_taken(text: str, side: int, piece: str) -> None:
    graph, numbers = Graph(), Rationals()
    names = {"w": graph.leaf("param", 0), "v": graph.leaf("param", 1)}
    node = parse_expression(text, names).build(graph, names)
    lists: list[list[Any]] = [[], []]
    expansion = Expansion(graph, [node], numbers, {}, lists)
    run(expansion, numbers, lists, (AT_KINK, OTHER), 4, {names["w"]: side})

    expected = expanded(f"{piece} + w**9*v**9", arithmetic=Rationals(), order=4, paths=(AT_KINK, OTHER))[1]
    assert expansion.series[node] == expected
    assert expansion.branches == {names["w"]: side}


@pytest.mark.parametrize(
    ("slope", "at"), [("step", "3/5"), ("sign", "3/5"), ("step", "-3/5"), ("sign", "-3/5"), ("step", "0")]
)
def test_steps_are_constant_on_their_branch(slope: str, at: str) -> None:
    graph, numbers = Graph(), Rationals()
    w = graph.leaf("param", 0)
    kink = graph.call("relu" if slope == "step" else "abs", w)
    step = graph.call(slope, w)
    series: list[Any] = []
    expansion = Expansion(graph, [kink, step], numbers, {}, [series])
    start = Fraction(at)
    run(expansion, numbers, [series], [(start, ONE)], 3, {w: 1} if start == 0 else None)

    side = 1 if start >= 0 else -1
    assert expansion.series[step] == [max(side, 0) if slope == "step" else side, 0, 0, 0]


FROZEN = [
    "relu(w*x)", "abs(x*(w + v))", "relu(tanh(w*x))", "relu(w*v*x)", "relu(v*relu(w*x))", "abs(sin(w*x)*exp(v))",
    "relu((w*x)**2)", "relu(w*sin(x))", "abs(v*sqrt(x))", "relu(x*w - x*v)", "relu(atan(w*x) + v*x)",
    "relu(w*x/(1 + v**2))", "relu(w*(x - x**3))",
]  # fmt: skip


@pytest.mark.parametrize("text", FROZEN)
def test_an_argument_that_is_0_whatever_the_parameters_are_is_no_kink(text: str) -> None:
    expansion, series = expanded(text, x=Fraction(0))

    assert list(expansion.kinks) == []
    assert set(series) == {0}


@pytest.mark.parametrize("text", FROZEN)
def test_for_another_row_the_same_argument_can_kink(text: str) -> None:
    assert list(expanded(text, x=Fraction(1, 2))[0].kinks) != []


@pytest.mark.parametrize(
    "text",
    [
        "relu(w*x + v)",
        "relu(w*(x + 1))",
        "relu(cos(w*x)*v)",
        "relu(w - w**2*x)",
        "abs(w*x + v - v**2)",
        "relu(v*exp(w*x))",
    ],
)
def test_an_argument_that_still_depends_on_a_parameter_is_not_frozen(text: str) -> None:
    assert len(list(expanded(text, x=Fraction(0))[0].kinks)) == 1


def test_a_tiny_input_is_not_taken_for_0() -> None:
    expansion, _ = expanded("w + abs(w*v + w*x)", bits=60, x=Fraction(1, 10**40))
    with pytest.raises(KinkError):
        expanded("relu(w*x)", bits=60, x=Fraction(1, 10**40))

    assert list(expansion.kinks) != []


def test_what_is_constant_in_the_row_has_no_kink_at_all() -> None:
    expansion, series = expanded("w*relu(x - 1) + v*abs(x) + relu(x)", x=ONE, arithmetic=Rationals(), order=2)

    assert list(expansion.kinks) == []
    assert series == [OTHER[0] + 1, OTHER[1], OTHER[2]]


# Where functions are undefined.


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("log(w)", "log"), ("1/w", "1/"), ("sqrt(w)", "sqrt"), ("w**(1/3)", "power"), ("w**(-2)", "1/"),
        ("v/sin(w)", "1/"),
        ("log(w*v)", "log"), ("sqrt(v)", "sqrt"), ("log(v)", "log"), ("v**(3/2)", "power"), ("w + log(x)", "log"),
        ("w*sqrt(x - 1)", "sqrt"), ("w/x", "1/"), ("w**v", "log"), ("sqrt(w*x)", "sqrt"),
    ],
)  # fmt: skip
def test_undefined_points_are_refused_by_the_functions_name(text: str, function: str) -> None:
    with pytest.raises(DomainError) as error:
        expanded(text, x=Fraction(0), paths=(AT_KINK, OTHER))

    assert error.value.function == function


@pytest.mark.parametrize("text", ["log(v)", "sqrt(v)", "v**(3/2)", "log(x - 1) + w"])
def test_an_argument_that_is_clearly_negative_is_certainly_undefined(text: str) -> None:
    with pytest.raises(DomainError) as error:
        expanded(text, x=Fraction(0))

    assert error.value.certain


@pytest.mark.parametrize("text", ["log(w)", "1/w", "sqrt(w)", "w**(1/3)"])
def test_an_argument_within_rounding_of_0_may_be_decided_by_more_bits(text: str) -> None:
    paths = ((Fraction(1, 10**25), ONE), OTHER)
    with pytest.raises(DomainError) as error:
        expanded(text, bits=60, paths=paths)

    assert not error.value.certain
    expanded(text, bits=200, paths=paths)


@pytest.mark.parametrize(
    ("text", "value"), [("w + v*sqrt(x)", "0"), ("v*x**(3/2) + w", "0"), ("w*sqrt(x) + sqrt(sqrt(x)) + 1", "1")]
)
def test_roots_of_an_input_that_is_exactly_0_are_0(text: str, value: str) -> None:
    numbers = FixedPoint(100)
    expansion, series = expanded(text, bits=100, x=Fraction(0), paths=(AT_KINK, OTHER))

    assert numbers.fraction(series[0]) == Fraction(value)
    assert list(expansion.kinks) == []


@pytest.mark.parametrize("text", ["w + v*sqrt(x)", "w*x**(1/3) + v"])
def test_roots_of_an_input_that_is_only_tiny_ask_for_more_bits(text: str) -> None:
    with pytest.raises(DomainError) as error:
        expanded(text, bits=60, x=Fraction(1, 10**40))

    assert not error.value.certain
    expanded(text, bits=200, x=Fraction(1, 10**40))


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [("w*x", "0", True), ("w*sin(x)", "0", True), ("w*tanh(v*x)", "0", True), ("relu(w*x)*v", "0", True),
     ("w*x", "1/9", False), ("w*cos(x)", "0", False), ("w*x + v - v*w/w", "0", False), ("w*exp(x)", "0", False)],
)  # fmt: skip
def test_nodes_that_are_0_at_all_parameters_are_told_apart(text: str, x: str, expected: bool) -> None:
    graph = Graph()
    names = {"w": graph.leaf("param", 0), "v": graph.leaf("param", 1), "x": graph.leaf("input", 0)}
    node = parse_expression(text, names).build(graph, names)
    expansion = Expansion(graph, [node], FixedPoint(80), {("input", 0): Fraction(x)}, [[], []])

    assert expansion.vanishes(node) is expected


@pytest.mark.parametrize(
    ("text", "value"),
    [("x/3 + 1/5", "1/5"), ("sin(x)", "0"), ("sqrt(x)", "0"), ("1/(x - 2)", "-1/2"), ("relu(x - 1)", "0"),
     ("abs(x - 1)", "1"),
     ("cos(x)", None), ("1/x", None), ("pi*x", None), ("sqrt(x + 4)", None), ("exp(x)", None)],
)  # fmt: skip
def test_constants_are_given_exactly_where_rationals_reach_them(text: str, value: str | None) -> None:
    graph = Graph()
    x = graph.leaf("input", 0)
    node = parse_expression(text, ["x"]).build(graph, {"x": x})
    expansion = Expansion(graph, [], FixedPoint(80), {("input", 0): Fraction(0)}, [])

    assert expansion.rational(node) == (None if value is None else Fraction(value))
