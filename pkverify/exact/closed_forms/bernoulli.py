"""One logit that every example shares: a Bernoulli variable seen often, and softmax over two classes.

Where all examples pull along one direction d of a model linear in w, the flow is that of z = d . w,

    z' = q (n1 - n0 e^z)/(1 + e^z),      q = |d|^2,

with n1 and n0 the observed mass of the two classes; the time that has passed is elementary in z:

    q t = z/n1 - (1/n1 + 1/n0) log(n1 - n0 e^z) + constant,

and Lambert's W inverts it where only one class was seen. For the softmax of two logits d is the difference of their
gradients: z is the difference of the logits, and what is orthogonal to d (their sum, where each logit has weights of
its own) is kept. An example that pulls along -d is one of the other class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from pkverify.exact.algebra import rational
from pkverify.exact.closed_forms.recognition import linear_features
from pkverify.exact.closed_forms.record import ClosedForm, Expr, Integrand
from pkverify.exact.formulas import Formulas
from pkverify.exact.identity import is_identity

_Row = list[Fraction]


@dataclass(frozen=True)
class _Logit:
    """The common direction d, and for each example its part of the class towards which d points."""

    family: str
    direction: _Row
    shares: list[Fraction]
    scale: Fraction

    @property
    def mass(self) -> tuple[Expr, Expr]:
        """n1 and n0, with the factor of the loss."""
        seen = sum(self.shares, Fraction(0))
        return rational(self.scale * seen), rational(self.scale * (len(self.shares) - seen))


def recognise(formulas: Formulas) -> ClosedForm | None:
    """The flow of a linear model under the logistic loss, or softmax over two classes, if all directions are one."""
    problem, width = formulas.problem, formulas.problem.model.output_count
    if problem.regularizer is not None or width > 2 or not problem.data.targets[0]:
        return None
    directions, ways = list[_Row](), list[int]()
    for outputs in formulas.training_outputs:
        rows = _rows(formulas, outputs)
        if rows is None:
            return None
        directions.append(_difference(rows))
        ways.append(_way(directions[-1], directions[0]))
        if ways[-1] == 0 or not any(directions[0]):
            return None
    if not all(_is_cross_entropy(formulas, row) for row in dict.fromkeys(problem.data.targets)):
        return None
    if any(_rows(formulas, formulas.outputs(point)) is None for point in problem.query_inputs):
        return None
    given = [row[0] for row in problem.data.targets]
    # Where only the other class is seen, the flow is written for that one.
    side = 1 if any(share if way == 1 else 1 - share for share, way in zip(given, ways, strict=True)) else -1
    parts = [share if way == side else 1 - share for share, way in zip(given, ways, strict=True)]
    family = "Bernoulli logit" if width == 1 else "softmax, two classes"
    return _flow(formulas, _Logit(family, [side * part for part in directions[0]], parts, problem.example_scale))


def _is_cross_entropy(formulas: Formulas, targets: Sequence[Fraction]) -> bool:
    """Whether the loss is the cross-entropy of one logit, or of two, for a probability as target."""
    scale, first = rational(formulas.problem.example_scale), targets[0]
    slopes, y = formulas.loss_slopes([rational(value) for value in targets]), formulas.loss_symbols
    logit = y[0] - y[1] if len(y) == 2 else y[0]
    expected = scale * (1 / (1 + sp.exp(-logit)) - rational(first))
    signs = (1, -1)[: len(y)]
    return 0 <= first <= 1 and all(
        is_identity(slope, sign * expected) for slope, sign in zip(slopes, signs, strict=True)
    )


def _rows(formulas: Formulas, outputs: Sequence[Expr]) -> list[_Row] | None:
    """The gradient of each output of a linear model."""
    rows = [linear_features(formulas, output, sp.Integer(0)) for output in outputs]
    known = [row for row in rows if row is not None]
    return known if len(known) == len(rows) else None


def _difference(rows: list[_Row]) -> _Row:
    return rows[0] if len(rows) == 1 else [a - b for a, b in zip(*rows, strict=True)]


def _way(direction: _Row, other: _Row) -> int:
    """1 for the same direction, -1 for the opposite one, 0 for any other."""
    return 1 if direction == other else -1 if direction == [-part for part in other] else 0


def _flow(formulas: Formulas, logit: _Logit) -> ClosedForm:
    seen, unseen = logit.mass
    z, time = sp.Symbol("z", real=True), sp.Symbol("t", real=True)
    strength = rational(_dot(logit.direction, logit.direction))
    begin = rational(_dot(logit.direction, formulas.problem.initial))
    path = tuple(
        w + rational(part) * (z - begin) / strength for w, part in zip(formulas.start, logit.direction, strict=True)
    )
    elapsed = gathered(sp.Integer(1), sp.Integer(1), logit.mass, z, begin) / strength

    def primitive(integrand: Integrand) -> Expr | None:
        if integrand.kind == "regularizer":
            return sp.Integer(0)
        if integrand.kind == "kernel":  # tangent kernels of a linear model are constant
            return integrand.expression * elapsed
        rows = _rows(formulas, formulas.outputs(integrand.query))
        if rows is None:
            return None
        # share - sigmoid(z) is (share + (share - 1) e^z)/(1 + e^z).
        share = rational(logit.shares[integrand.example])
        factor = rational(logit.scale * _dot(rows[integrand.output], logit.direction)) / strength
        return factor * gathered(share, share - 1, logit.mass, z, begin)

    explicit = None
    if unseen == 0:
        level = seen * strength * time + begin + sp.exp(begin)
        explicit = level - sp.LambertW(sp.exp(level))
    return ClosedForm(
        logit.family,
        z,
        begin,
        strength * (seen - unseen * sp.exp(z)) / (1 + sp.exp(z)),
        path,
        elapsed,
        sp.oo if unseen == 0 else sp.log(seen / unseen),
        primitive,
        time,
        explicit=explicit,
        meaning="the logit of the class that is seen" if unseen == 0 else "the logit of one class against the other",
    )


def _dot(left: Sequence[Fraction], right: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


def gathered(constant: Expr, slope: Expr, mass: tuple[Expr, Expr], z: Expr, start: Expr) -> Expr:
    """The integral of (constant + slope e^z)/(n1 - n0 e^z) in z, 0 at ``start``; n1 is not 0.

    Example:
        >>> z = sp.Symbol("z", real=True)
        >>> gathered(sp.Integer(1), sp.Integer(1), (sp.Integer(2), sp.Integer(0)), z, sp.Integer(0))
        z/2 + exp(z)/2 - 1/2
    """
    seen, unseen = mass
    if unseen == 0:
        return (constant * (z - start) + slope * (sp.exp(z) - sp.exp(start))) / seen
    rest = (slope + constant * unseen / seen) / unseen
    return constant * (z - start) / seen - rest * sp.log((seen - unseen * sp.exp(z)) / (seen - unseen * sp.exp(start)))
