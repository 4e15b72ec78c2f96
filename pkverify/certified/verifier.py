"""The checker of certificates, with its own parser, models and derivatives; see docs/devdocs/certificates.md."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial, reduce
from itertools import pairwise
from operator import add, mul
from pathlib import Path
from typing import Any, NamedTuple

from flint import acb, arb, arb_mat, arb_poly, arb_series, ctx, fmpq

SCHEMA = "pkverify.certificate/1"
MOST_CHARACTERS, MOST_BITS, MOST_EXPONENT, MOST_DEPTH = 100_000_000, 16_000, 1_000_000, 200
MOST_OPERATIONS, MOST_WORK = 10_000_000, 10**12  # of one evaluation of the problem; of all of them, by their precision
WIDE_BITS = 64  # the precision on discs and tubes: their balls are wide anyway
CONVEX = ("squared", "softmax-cross-entropy", "logistic", "nll-probability", "nll-log-probability")
TOKEN = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?|[A-Za-z_]\w*|\*\*|[-+*/()]", re.ASCII)
BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}  # a sign binds with 3
STEP = "start length polynomial order disc margin tube log_norm error"
PROBLEM = "title model loss regularizer data initial horizon queries"
DECOMPOSITION = "query output initial_output final_output contributions regularizer_term path_kernel residual"
Value = Any  # python-flint has no types: an arb, an acb, an arb_series, or a Jet of them


class RefusedError(Exception):
    """What is wrong with a certificate, and the exit code for it."""


class Verdict(NamedTuple):
    """What came out: exit code 0 accepted, 1 rejected, 2 unreadable; why, in a line; and what was proved."""

    exit_code: int
    message: str
    proved: tuple[str, ...] = ()


def _demand(condition: object, complaint: str, code: int = 2) -> None:
    if not condition:  # comparisons of balls hold only where they are certain, and never for what is not a number
        raise RefusedError(complaint, code)


def _fields(value: Any, where: str, names: str, optional: str = "") -> list[Any]:
    _demand(isinstance(value, dict), f"{where} is no object")
    wrong = sorted({*names.split()} - {*value}) + sorted({*value} - {*names.split(), *optional.split()})
    _demand(not wrong, f"{where}: the key {ascii(wrong[:1])[:60]} is missing or unknown")
    return [value.get(name) for name in [*names.split(), *optional.split()]]


def _list(value: Any, where: str, size: int | None = None) -> list[Any]:
    _demand(isinstance(value, list) and value and size in (None, len(value)), f"{where}: no list of the right length")
    return value


def _whole(value: Any, where: str, least: int, most: int) -> int:
    _demand(type(value) is int and least <= value <= most, f"{where}: a whole number is missing or out of range")
    return value


def _text(value: Any, where: str, pattern: str = r"(?s).*") -> str:
    good = isinstance(value, str) and len(value) <= 100_000 and re.fullmatch(pattern, value, re.ASCII)
    _demand(good, f"{where}: not the right text")
    return value


def _rational(value: Any) -> Fraction:
    return Fraction(_text(value, "a rational number", r"-?\d{1,4001}(/(?=0*[1-9])\d{1,4001})?"))


def _dyadic(value: Any) -> Value:
    mantissa, exponent = _list(value, "a dyadic number", 2)
    _whole(exponent, "an exponent", -MOST_EXPONENT, MOST_EXPONENT)
    return arb((_whole(mantissa, "a mantissa", -(1 << MOST_BITS), 1 << MOST_BITS), exponent))


class Jet:
    """A value (real or complex ball, power series, or again a jet) and its derivatives by numbered variables."""

    operations = 0  # since the last evaluation began
    point: Sequence[Value] = ()  # the variables of this evaluation

    def __init__(self, value: Value, slopes: dict[int, Value] | None = None, base: Value = None) -> None:
        self.value, self.slopes = value, slopes or {}
        self.base = base if slopes else value  # of what is affine: base + slopes * variables, each of which occurs once
        Jet.operations += 1 + len(self.slopes)
        _demand(Jet.operations <= MOST_OPERATIONS, "the problem is too large")

    def __add__(self, other: Any) -> Jet:
        right, slopes = _jet(other), dict(self.slopes)
        slopes |= {k: slopes[k] + slope if k in slopes else slope for k, slope in right.slopes.items()}
        base = None if self.base is None or right.base is None else self.base + right.base
        terms = [right.value] if base is None else [slope * Jet.point[k] for k, slope in slopes.items()]
        return Jet(reduce(add, terms, self.value if base is None else base), slopes, base)

    def __mul__(self, other: Any) -> Jet:
        left, right = (self, _jet(other)) if self.slopes else (_jet(other), self)
        slopes = {k: slope * right.value for k, slope in left.slopes.items()}
        base = None if right.slopes or left.base is None else left.base * right.value
        product = Jet(_times(left.value, right.value), slopes, base)
        rest = {k: slope * left.value for k, slope in right.slopes.items()}
        return product + Jet(arb(0), rest) if rest else product

    __radd__, __rmul__ = __add__, __mul__


def _times(u: Value, v: Value) -> Value:
    if u is not v or isinstance(u, (Jet, arb_series)):
        return u * v
    if isinstance(u, acb):
        return acb(_times(x := u.real, x) - _times(y := u.imag, y), 2 * x * y)
    return (u.abs_lower() * u.abs_lower()).union(u.abs_upper() * u.abs_upper())  # a square is not negative


def _gradient(value: Any, size: int) -> list[Value]:
    return [_jet(value).slopes.get(k, arb(0)) for k in range(size)]


def _jet(value: Any) -> Jet:
    exact = isinstance(value, Fraction)
    return value if isinstance(value, Jet) else Jet(arb(fmpq(value.numerator, value.denominator)) if exact else value)


def _real(u: Value) -> Value:
    return u.real if isinstance(u, acb) else u[0] if isinstance(u, arb_series) else u


_prove = partial(_demand, code=1)
FUNCTIONS: dict[str, tuple[Callable[[Value], Value], Callable[[Value, Value], Value]]] = {  # f(u); f'(u), with v = f(u)
    "1/": (lambda u: 1 / u, lambda _, v: -1 * v * v),
    "exp": (lambda u: u.exp(), lambda _, v: v),
    "sqrt": (lambda u: u.sqrt(), lambda _, v: _call("1/", 2 * v)),
    "log": (lambda u: u.log(), lambda u, _: _call("1/", u)),
    "sin": (lambda u: u.sin(), lambda u, _: _call("cos", u)),
    "cos": (lambda u: u.cos(), lambda u, _: -1 * _call("sin", u)),
    "atan": (lambda u: u.atan(), lambda u, _: _call("1/", 1 + u * u)),
    "tanh": (lambda u: 1 - 2 / (1 + (2 * u).exp()) if isinstance(u, arb_series) else u.tanh() if isinstance(u, arb) else
             min(1 - 2 / (1 + (2 * u).exp()), 2 / (1 + (-2 * u).exp()) - 1, u.tanh(), key=acb.rad),
             lambda _, v: 1 + -1 * v * v),
    "sigmoid": (lambda u: (1 + _call("tanh", u / 2)) / 2 if isinstance(u, acb) else 1 / (1 + (-u).exp()),
                lambda u, _: FUNCTIONS["tanh"][1](u, _call("tanh", u * arb(0.5))) * arb(0.25)),
    "softplus": (lambda u: min([f + v.log() for f, v in ((0, 1 + u.exp()), (u, 1 + (-u).exp())) if v.real > 0] +
                              [_call("softplus", u.real.mid()) + (u - u.real.mid()) * _call("sigmoid", u)], key=acb.rad)
                 if isinstance(u, acb) else u + (1 + (-u).exp()).log() if _real(u).mid() > 0 else (1 + u.exp()).log(),
                 lambda u, _: _call("sigmoid", u)),
    "+-": (lambda u: arb(1 if _real(u) > 0 else -1), lambda _, __: arb(0)),
    "erf": (lambda u: u.erf(), lambda u, _: _call("exp", -1 * u * u) * (2 / arb.pi().sqrt())),
}  # fmt: skip
COMPOSED: dict[str, Callable[[Jet], Jet]] = {
    "tan": lambda u: _call("sin", u) * _call("1/", _call("cos", u)),
    "sinh": lambda u: (_call("exp", u) + _call("exp", u * -1) * -1) * Fraction(1, 2),
    "cosh": lambda u: (_call("exp", u) + _call("exp", u * -1)) * Fraction(1, 2),
    "abs": lambda u: u * _call("+-", u),
    "relu": lambda u: (u + _call("abs", u)) * Fraction(1, 2),
}


def _call(name: str, u: Value) -> Value:
    _demand(name in FUNCTIONS or name in COMPOSED, f"there is no function {ascii(name)[:40]}")
    if name in COMPOSED:
        return COMPOSED[name](u)
    if isinstance(u, arb) and u.rad() > 1e-9 and name in ("tanh", "sigmoid", "softplus", "atan", "erf"):  # they rise
        return _call(name, u.lower()).union(_call(name, u.upper()))
    if isinstance(u, Jet):
        value = _call(name, u.value)
        factor = FUNCTIONS[name][1](u.value, value) if u.slopes else 0
        return Jet(value, {k: factor * s for k, s in u.slopes.items()})
    bad = name in ("log", "sqrt") and not _real(u) > 0 and (name, u) != ("sqrt", 0)
    bad |= name == "+-" and not (_real(u) > 0 or _real(u) < 0)
    bad |= name == "atan" and isinstance(u, acb) and u.real.contains(0) and not abs(u.imag) < 1
    _prove(not bad, f"{name} of a ball that touches a branch cut or kink")  # at poles, balls are not finite
    value = FUNCTIONS[name][0](u)
    terms = value if isinstance(value, arb_series) else [value]
    _prove(all(term.is_finite() for term in terms), f"{name} of a ball has no finite enclosure")
    return value


def _small(value: Any) -> Any:
    bits = 0 if isinstance(value, Jet) else max(map(int.bit_length, Fraction(value).as_integer_ratio()))
    _demand(bits <= 4 * MOST_BITS, "a constant is too large")
    return value


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, Jet):
        return _call("exp", _call("log", _jet(base)) * exponent)
    _demand(max(abs(exponent.numerator), exponent.denominator) <= 1000, "an exponent is too large")
    if exponent.denominator == 2:
        base, exponent = _call("sqrt", _jet(base)), Fraction(exponent.numerator)
    if exponent.denominator > 1:
        return base if base == 0 and exponent > 0 else _call("exp", _call("log", _jet(base)) * exponent)
    bits: Iterable[str] = f"{abs(exponent.numerator):b}"
    result: Any = reduce(lambda a, bit: _small(a * a * base if bit == "1" else a * a), bits, Fraction(1))
    return result if exponent >= 0 else 1 / result if isinstance(result, Fraction) else _call("1/", result)


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"+": add, "-": lambda a, b: a + b * -1, "*": mul, "**": _power}
OPERATORS["/"] = lambda a, b: a * _power(b, Fraction(-1))


def _formula(text: str, names: Mapping[str, Any]) -> Any:
    tokens = ["", "", *reversed(TOKEN.findall(text))]
    _demand("".join(reversed(tokens)) == "".join(text.split()), "a formula has a character outside the grammar")

    def climb(level: int, depth: int) -> Any:
        _demand(depth, "a formula is nested too deeply")
        token = tokens.pop()
        if token in ("+", "-"):
            left = climb(3, depth - 1) * (1 if token == "+" else -1)
        elif token[:1].isdigit() or token[:1] == ".":
            left = Fraction(token)
        elif token in names or token == "pi":
            left = names[token] if token in names else Jet(arb.pi())
        else:
            _demand(token == "(" or tokens.pop() == "(", f"a formula has {ascii(token)[:40]} where an operand stands")
            left = climb(1, depth - 1)
            _demand(tokens.pop() == ")", "a parenthesis is not closed")
            left = left if token == "(" else _call(token, _jet(left))
        while BINDS.get(tokens[-1], 0) >= level:
            operator = tokens.pop()
            right = climb(3 if operator == "**" else BINDS[operator] + 1, depth - 1)
            left = _small(OPERATORS[operator](left, right))
        return left

    value = climb(1, MOST_DEPTH)
    _demand(len(tokens) == 2, f"a formula goes on with {ascii(tokens[-1])[:40]}")
    return value


class System:
    """The problem of a certificate: outputs and gradients, over any kind of values."""

    def __init__(self, problem: Any) -> None:
        title, self.model, loss, penalty, data, initial, horizon, queries = _fields(problem, "problem", PROBLEM)
        self.title, self.initial = _text(title, "title"), [*map(_rational, _list(initial, "initial"))]
        self.horizon, self.penalty = _rational(horizon), {"value": "0"} if penalty is None else penalty
        xs, ys = (_list(value, "data") for value in _fields(data, "data", "x y"))
        self.x = [[*map(_rational, _list(row, "x"))] for row in xs]
        self.queries = [[*map(_rational, _list(row, "queries"))] for row in _list(queries, "queries")]
        self.y = [[*map(_rational, row and _list(row, "y"))] for row in ys]
        _demand(len(xs) == len(ys) and self.horizon > 0, "x and y are not equally long, or the horizon is not positive")
        self.loss, reduction, self.value = _fields(loss, "loss", "kind reduction", "value")
        _text(self.loss, "the kind of loss", "|".join([*CONVEX, "expression"]))
        _demand((self.value is not None) == (self.loss == "expression"), "a loss value goes with kind expression")
        self.scale = {"sum": Fraction(1), "mean": Fraction(1, len(xs))}[_text(reduction, "reduction", "sum|mean")]
        by_formula = isinstance(self.model, dict) and self.model.get("kind") == "expression"
        self.names, self.inputs, self.outputs = self._expressions() if by_formula else self._layers()
        fits = len(self.names) == len(self.initial) and {len(row) for row in self.x + self.queries} == {self.inputs}
        _demand(fits, "initial or a row of inputs does not fit the model")

    def _expressions(self) -> tuple[list[str], int, Callable[[list[Any], list[Fraction]], list[Any]]]:
        _, params, inputs, texts = _fields(self.model, "model", "kind params inputs outputs")
        names = [_text(name, "a name", r"[A-Za-z_]\w*") for name in _list(params, "params") + _list(inputs, "inputs")]
        _demand(len(taken := [*names, *FUNCTIONS, *COMPOSED, "pi"]) == len({*taken}), "a name is taken twice")
        outputs = [_text(text, "an output") for text in _list(texts, "outputs")]
        return params, len(inputs), lambda w, x: [_formula(t, dict(zip(names, [*w, *x], strict=True))) for t in outputs]

    def _layers(self) -> tuple[list[str], int, Callable[[list[Any], list[Fraction]], list[Any]]]:
        kind, layers, activation, bias = _fields(self.model, "model", "kind layers activation bias")
        widths = [_whole(width, "layers", 1, 100_000) for width in _list(layers, "layers")]
        linear = _text(kind, "the kind of model", "linear|mlp|deep-linear") == "linear"
        fits = (len(widths) == 2 or (len(widths) > 2 and not linear)) and (kind == "mlp") == isinstance(activation, str)
        _demand(fits and type(bias) is bool, "layers, activation or bias do not make a model")
        _demand(sum((a + bias) * b for a, b in pairwise(widths)) == len(self.initial), "layers do not fit initial")
        names: list[str] = []
        tags = [""] if linear else [f"_{layer}" for layer in range(1, len(widths))]
        for tag, (a, b) in zip(tags, pairwise(widths), strict=True):
            names += [f"w{tag}_{row}_{column}" for row in range(1, b + 1) for column in range(1, a + 1)]
            names += [f"b{tag}_{row}" for row in range(1, b + 1) if bias]

        def outputs(w: list[Any], x: list[Fraction]) -> list[Any]:
            supply, values = iter(w), list[Any](x)
            for left, size in enumerate(widths[1:], start=2 - len(widths)):
                sums = [sum(next(supply) * value for value in values) for _ in range(size)]
                values = [total + next(supply) for total in sums] if bias else sums
                values = [_call(activation, value) for value in values] if kind == "mlp" and left < 0 else values
            return values

        return names, widths[0], outputs

    def _loss(self, y: list[Jet], t: list[Fraction]) -> Jet:
        _demand(len(t) in (0, len(y)), "a row of targets does not fit the outputs")
        at = [""] if len(y) == 1 else [str(k) for k in range(len(y))]
        squares = "+".join(f"(y{k} - target{k})**2/2" for k in at)
        observed = "-(" + "+".join(f"target{k}*y{k}" for k in at) + ")"  # and the logarithm of the partition function
        formulas = dict(zip(CONVEX, (squares, observed, "softplus(y) - target*y", "-log(y)", "-y"), strict=True))
        names = dict(zip([f"{stem}{k}" for stem in ("y", "target") for k in at], [*y, *t], strict=False))
        loss = _jet(_formula(_text(formulas.get(self.loss, self.value), "the loss"), names))
        return loss + reduce(lambda s, a: a + _call("softplus", s + a * -1), y) if self.loss == CONVEX[1] else loss

    def _penalty(self, w: list[Jet]) -> Jet:
        value, strength = _fields(self.penalty, "regularizer", "", "value strength")
        _demand((value is None) != (strength is None), "regularizer: value or strength, one of the two")
        text = f"{_rational(strength) / 2}*({'+'.join(f'{k}**2' for k in self.names)})" if value is None else value
        return _jet(_formula(_text(text, "the regulariser"), dict(zip(self.names, w, strict=True))))

    def rows(self, params: Sequence[Value], *, probed: bool = True) -> list[list[Value]]:
        """Gradients of: outputs at queries; parts of the loss, then outputs, at examples; the regulariser. The flow."""
        Jet.operations, size, Jet.point = 0, len(params), [p.value if isinstance(p, Jet) else p for p in params]
        variables = [Jet(p, {k: arb(1)}, arb(0) if isinstance(p, acb) else None) for k, p in enumerate(params)]
        pulls, kernels = list[list[Value]](), list[list[Value]]()
        for x, y in zip(self.x, self.y, strict=True):
            outputs = [_jet(output) for output in self.outputs(variables, x)]
            places = [Jet(output.value, {k: arb(1)}) for k, output in enumerate(outputs)]
            slopes = [_jet(self.scale).value * slope for slope in _gradient(self._loss(places, y), len(places))]
            kernels += (gradients := [_gradient(output, size) for output in outputs])
            pulls.append([reduce(add, map(mul, slopes, column)) for column in zip(*gradients, strict=True)])
        probes = [_gradient(output, size) for x in self.queries * probed for output in self.outputs(variables, x)]
        penalty = _gradient(self._penalty(variables), size)
        return [*probes, *pulls, *kernels, penalty, [-1 * reduce(add, v) for v in zip(*pulls, penalty, strict=True)]]


def _norm(values: Iterable[Value]) -> Value:
    return sum((abs(value).upper() ** 2 for value in values), arb(0)).sqrt().upper()


class Checker:
    """Carries a bound of the error from step to step, and adds up the integrals of all products of probes and pulls."""

    def __init__(self, system: System, precision: int) -> None:
        self.system, self.precision, self.work, self.time, Jet.operations = system, precision, 0, Fraction(0), 0
        self.end, self.error = [_jet(value).value for value in system.initial], arb(0)
        self.split = len(initial := self.outputs())  # where the pulls begin
        self.initial, self.integrals = initial, arb_mat(self.split, len(system.rows(self.end)) - self.split - 1)

    def final(self) -> list[Value]:
        """Balls that contain the parameters at the end of the last step."""
        return [end + arb(0, self.error) for end in self.end]

    def outputs(self) -> list[Value]:
        """The outputs of the queries there, in mean-value form."""
        places = [Jet(end) for end in self.end], [Jet(box, {k: arb(1)}) for k, box in enumerate(self.final())]
        values = [[_jet(y) for x in self.system.queries for y in self.system.outputs(w, x)] for w in places]
        return [y.value + arb(0, (_norm(v.slopes.values()) * self.error).upper()) for y, v in zip(*values, strict=True)]

    def advance(self, step: Any) -> None:
        """Prove a step but for its ``error``, and add its part of the integrals."""
        start, length, polynomial, order, disc, margin, tube, log_norm, _ = _fields(step, "a step", STEP)
        p = [[_dyadic(c) for c in _list(row, "a polynomial")] for row in _list(polynomial, "polynomial", len(self.end))]
        _demand(len({len(row) for row in p}) == 1, "the polynomials of a step are not equally long")
        n, split, parts = _whole(order, "order", 1, 10_000), self.split, len(_list(log_norm, "log_norm"))
        self.work += Jet.operations * (n * self.precision + 1000 * parts)
        _demand(self.work <= MOST_WORK, "the certificate asks for too much work")
        _prove(_rational(start) == self.time and _rational(length) > 0, "it does not start where the last one ended")
        ctx.prec, ctx.cap, h = self.precision, n + 1, _jet(_rational(length)).value
        self.time, error = (
            self.time + _rational(length),
            self.error + _norm(a - c[0] for a, c in zip(self.end, p, strict=True)),
        )
        rows = self.system.rows([arb_series(c, prec=n + 1) for c in p])
        _prove(all(v.prec > n for row in rows for v in row if isinstance(v, arb_series)), "a series is too short")
        zeros, degree, d = [arb(0)] * n, max(n + 1, len(p[0]) - 1), len(p)
        terms = [[[v[k] for k in range(n + 1)] if isinstance(v, arb_series) else [v, *zeros] for v in r] for r in rows]
        weights = [arb(1) / (j + k + 1) if j + k <= n else arb(0) for j in range(n + 1) for k in range(n + 1)]
        flat = [[c for value in row for c in value] for row in terms[:-1]]  # integrals of products, cut after degree n
        left = arb_mat(split * d, n + 1, [c for row in flat[:split] for c in row]) * arb_mat(n + 1, n + 1, weights)
        self.integrals += arb_mat(split, d * (n + 1), left.entries()) * arb_mat(flat[split:]).transpose() * h
        rates = [[(k + 1) * a for k, a in enumerate(c[1:])] + [arb(0)] * degree for c in p]
        forces = [[h * f for f in entry] + [arb(0)] * degree for entry in terms[-1]]
        known = [_norm(r[k] - f[k] for r, f in zip(rates, forces, strict=True)) / (k + 1) for k in range(degree)]
        ctx.prec, rho, width, radius = WIDE_BITS, *map(_dyadic, (disc, margin, tube))
        _prove(rho > 1 and width > 0, "the disc is not larger than the step, or the margin not positive")
        reach = [sum((abs(a) * rho**k for k, a in enumerate(c) if k), arb(0)).upper() for c in p]
        tail = 1 / ((n + 2) * rho ** (n + 1) * (1 - 1 / rho))  # of an integral from 0 to 1, for a bound of 1
        flow, lost = self._limits([c[0] for c in p], reach)
        missed = (sum(known, arb(0)) + h * flow * tail).upper()  # a bound of the integral of |p' - h F(p)|
        strayed, growth, most = arb(0), arb(1), arb(1)  # the integral of the error; what becomes of errors in the step
        for part, mu in enumerate(map(_dyadic, log_norm)):
            self._prove_norm(mu, p, radius, Fraction(part, parts), Fraction(1, parts))
            rate = (mu * h / parts).exp()
            highest = ((error * growth + missed * most) * rate.max(arb(1))).upper()
            _prove(highest < radius, "the error may leave the tube")
            growth, most, strayed = growth * rate, (most * rate).max(arb(1)), strayed + highest * h / parts
        _, moved = self._limits([_range(c, arb(0), arb(1)) + arb(0, radius) for c in p], [width] * d)
        lost = lost * (h * tail) + moved * (strayed / width)  # by Cauchy, with the margin as the radius
        ctx.prec = self.precision
        self.end, self.error = [sum(c[1:], c[0]) for c in p], (error * growth + missed * most).upper()
        self.integrals += arb_mat(lost.nrows(), lost.ncols(), [arb(0, entry.upper()) for entry in lost.entries()])

    def _limits(self, balls: list[Value], reach: list[Value]) -> tuple[Value, Value]:
        boxes = [acb(ball + arb(0, r), arb(0, r)) for ball, r in zip(balls, reach, strict=True)]
        limits = [_norm(row) for row in self.system.rows(boxes)]  # of the flow, and of all products
        return limits[-1], arb_mat([[v] for v in limits[: self.split]]) * arb_mat([limits[self.split : -1]])

    def _prove_norm(self, mu: Value, p: Any, radius: Value, first: Fraction, size: Fraction, depth: int = 5) -> None:
        boxes = [_range(c, _jet(first).value, _jet(first + size).value) + arb(0, radius) for c in p]
        try:
            rows = self.system.rows([Jet(box, {k: arb(1)}, arb(0)) for k, box in enumerate(boxes)], probed=False)
            curved = any(isinstance(v, Jet) for row in rows[len(self.system.x) : -2] for v in row)
            flows = [rows[-1], [-1 * v for v in rows[-2]]][: 2 if self.system.loss in CONVEX and not curved else 1]
            _prove(any(_is_above(mu, flow) for flow in flows), "the logarithmic norm is not proved")
        except RefusedError as error:
            _demand(depth, *error.args)  # or else on each half of the part
            self._prove_norm(mu, p, radius, first, size / 2, depth - 1)
            self._prove_norm(mu, p, radius, first + size / 2, size / 2, depth - 1)


def _is_above(
    mu: Value, flow: list[Value]
) -> bool:  # the eigenvalues of all symmetric matrices in the flow's derivative
    size, slopes = range(len(flow)), [_gradient(value, len(flow)) for value in flow]
    entries = [[slopes[max(i, j)][min(i, j)] for j in size] for i in size]
    least = mu - reduce(arb.max, [sum((entry.rad() for entry in row), arb(0)) for row in entries])  # see Gershgorin
    matrix = [[(least if i == j else 0) - entries[i][j].mid() for j in size] for i in size]
    for k in size:  # elimination: where all pivots are positive, the matrix is positive definite
        for i in size[k + 1 :]:
            factor = matrix[i][k] / matrix[k][k]
            matrix[i] = [a - factor * b for a, b in zip(matrix[i], matrix[k], strict=True)]
    return all(matrix[k][k] > 0 for k in size)


def _range(coefficients: Sequence[Value], first: Value, last: Value) -> Value:
    half = ((last - first) / 2).upper()  # the values between the two times, expanded around the middle
    shifted = arb_poly(coefficients)(arb_poly([(first + last) / 2, 1]))
    return shifted[0] + arb(0, sum((abs(c) * half**k for k, c in enumerate(shifted.coeffs()) if k), arb(0)).upper())


def verify_certificate(text: str) -> Verdict:
    """Check the JSON text of a certificate. No text raises an exception.

    Example:
        >>> verify_certificate('{"schema": 1}').exit_code
        2
    """
    before = ctx.prec, ctx.cap
    try:
        return Verdict(0, "accepted: everything that the certificate states is proved", tuple(_verified(text)))
    except RefusedError as error:
        return Verdict(error.args[1], f"{('rejected', 'unreadable')[error.args[1] - 1]}: {error.args[0]}")
    except (ArithmeticError, ValueError, RecursionError, MemoryError) as error:
        return Verdict(2, f"unreadable: {type(error).__name__}, {ascii(str(error))[:80]}")
    finally:
        ctx.prec, ctx.cap = before


def _verified(text: str) -> list[str]:
    _demand(len(text) <= MOST_CHARACTERS, "the text is too long")
    top = json.loads(text, object_pairs_hook=lambda p: _demand(len(dict(p)) == len(p), "a key twice") or dict(p))
    schema, bits, problem, *proof, sha = _fields(top, "certificate", "schema precision problem steps result sha256")
    _demand(schema == SCHEMA, f"the schema is not {SCHEMA}")
    signed = json.dumps({k: v for k, v in top.items() if k != "sha256"}, sort_keys=True, separators=(",", ":"))
    _prove(sha == hashlib.sha256(signed.encode()).hexdigest(), "the sha256 is not that of the certificate")
    ctx.prec = _whole(bits, "precision", 32, MOST_BITS)
    checker = Checker(system := System(problem), bits)
    for number, step in enumerate(_list(proof[0], "steps")):
        try:
            checker.advance(step)
            _prove(checker.error <= _dyadic(step["error"]), "the error is not as small as stated")
        except RefusedError as error:
            raise RefusedError(f"step {number}: {error.args[0]}", error.args[1]) from None
        checker.error = _dyadic(step["error"])
    _prove(checker.time == system.horizon, "the steps do not end at the horizon")
    return _check_result(system, checker, proof[1])


def _check_result(system: System, checker: Checker, result: Any) -> list[str]:
    params, decompositions = _fields(result, "result", "final_params decompositions")
    final, last, m, outputs = checker.final(), checker.outputs(), len(system.x), checker.split // len(system.queries)

    def check(stated: Any, proved: list[Value], where: str) -> None:
        for value, ball in zip(_list(stated, where, len(proved)), proved, strict=True):
            mid, radius = map(_dyadic, _fields(value, where, "mid rad"))
            _prove(abs(ball - mid) <= radius, f"{where} is not proved to lie in the stated ball")

    check(params, final, "final_params")
    lines = [f"problem {system.title!a}, horizon {system.horizon}, {len(final)} parameters, {m} examples"]
    for number, entry in enumerate(_list(decompositions, "decompositions", checker.split)):
        where, first = f"decomposition {number}, ", checker.initial[number]
        query, output, initial, ended, contributions, penalty, kernels, residual = _fields(entry, where, DECOMPOSITION)
        _demand([query, output] == [*divmod(number, outputs)], f"{where}query and output are not in their place")
        row = [checker.integrals[number, k] for k in range(checker.integrals.ncols())]
        parts = [-value for value in [*row[:m], row[-1]]]
        rest = last[number] - first - sum(parts, arb(0))
        _prove(rest.contains(0), f"{where}the residual is not 0")
        check([initial, ended, penalty, residual], [first, last[number], parts[m], rest], f"{where}outputs or residual")
        check(contributions, parts[:m], f"{where}contributions")
        for i, kernel in enumerate(_list(kernels, where, m)):
            check(kernel, row[m + i * outputs : m + (i + 1) * outputs], f"{where}path_kernel")
        at, radius = ", ".join(map(str, system.queries[query])), _dyadic(residual["rad"]).str(3, radius=False)
        lines.append(f"query ({at}), output {output}: residual {rest.str(3)}, radius {radius}")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Check the certificate in a file, say what came out, and return the exit code."""
    try:
        verdict = verify_certificate(Path(arguments[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError, IndexError) as error:
        verdict = Verdict(2, f"unreadable: {ascii(str(error))[1:-1]} (give the path of a certificate)")
    (sys.stderr if verdict.exit_code == 2 else sys.stdout).write("\n".join([*verdict.proved, verdict.message, ""]))
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
