"""Judging one step of a proof: an identity between generic expressions, by two routes that share no arithmetic.

The exact route decides it for undefined functions (:mod:`pkverify.exact.identity`); the second route evaluates both
sides on concrete polynomial models (:mod:`pkverify.exact.instance`). A step is proved when the first proves it, the
divisors it used are precisely those that it declares, and the second finds both sides equal. It is refuted by an
instance where the sides differ. Anything else is inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from pkverify.evidence import Verdict
from pkverify.exact.generic_model import TIME, GenericModel, rebuilt, unfold
from pkverify.exact.identity import compare, normal_form
from pkverify.exact.instance import Instance

Expr = Any
Builder = Callable[[GenericModel], tuple[Expr, ...]]

_SEEDS = (1, 2, 3, 4)
_WANTED_INSTANCES = 2


def no_divisors(model: GenericModel) -> tuple[Expr, ...]:
    """For a step that divides by nothing."""
    del model
    return ()


@dataclass(frozen=True)
class Step:
    """An identity of the proof: left side = right side, component by component, for every generic model.

    Attributes:
        name: What the step does.
        left: Builds the left sides.
        right: Builds the right sides, as many.
        unfolds: The kinds of definition that the step may use, by the first letters of the names (see
            :meth:`~pkverify.exact.generic_model.GenericModel.definitions`).
        along_flow: Whether it may use the flow, dw_j/dt = -dL/dw_j.
        integrated: Whether it is shown by the fundamental theorem: both sides agree at time 0, and so do their
            derivatives in the end of the interval. Otherwise the sides are compared as they stand.
        divisors: Builds what must not be zero. A division that is not declared makes the step unacceptable, and so does
            a declared division that cannot be found: something cancelled it without asking.
    """

    name: str
    left: Builder
    right: Builder
    unfolds: str = ""
    along_flow: bool = False
    integrated: bool = False
    divisors: Builder = no_divisors


@dataclass(frozen=True)
class Judgement:
    """What was found about a step (or several): a verdict, and why it is not better, or the witness against it."""

    verdict: Verdict
    reason: str = ""
    witness: str | None = None


def judge(step: Step, models: Iterable[GenericModel]) -> Judgement:
    """Judge a step on generic models of several sizes, the smallest first so that a witness is small.

    Args:
        step: The identity.
        models: The sizes to decide it for.

    Returns:
        ``proved`` if both routes agree on every size; ``refuted`` with a witness, or ``inconclusive`` with the reason,
        for the first size that fails.

    Example:
        >>> model = GenericModel(params=2)
        >>> chain_rule = Step(
        ...     "chain rule",
        ...     lambda m: (sp.Derivative(m.query(TIME)[0], TIME),),
        ...     lambda m: (sum(sp.Derivative(m.query(TIME)[0], w) * sp.Derivative(w, TIME) for w in m.path(TIME)),),
        ... )
        >>> judge(chain_rule, [model]).verdict.value
        'proved'
    """
    judged = False
    for model in models:
        judged = True
        found = _judge_one(step, model)
        if found.verdict is not Verdict.PROVED:
            return found
    return (
        Judgement(Verdict.PROVED)
        if judged
        else Judgement(Verdict.INCONCLUSIVE, f"{step.name}: no model to judge it on")
    )


@lru_cache(maxsize=4096)  # a claim made of several steps meets judgements that were made for each of them
def _judge_one(step: Step, model: GenericModel) -> Judgement:
    sides = list(zip(step.left(model), step.right(model), strict=True))
    if not sides:
        return Judgement(Verdict.INCONCLUSIVE, f"{step.name}: nothing to compare")
    witness, tried = _difference(sides, model)
    if witness is not None:
        return Judgement(Verdict.REFUTED, f"{step.name}: the sides differ", f"{step.name}: {witness}")
    used = dict[Expr, None]()
    for left, right in sides:
        for one, other in _comparisons(step, model, left, right):
            outcome = compare(one, other)
            if not outcome.identical:
                return Judgement(
                    Verdict.INCONCLUSIVE,
                    f"{step.name}: not an identity of rational functions, and no instance was found where it fails",
                )
            used |= dict.fromkeys(outcome.obligations)
    declared = [_canonical(divisor) for divisor in step.divisors(model)]
    for divisor in used:
        if _canonical(divisor) not in declared:
            return _undeclared(step, sides, divisor)
    missing = set(declared) - {_canonical(divisor) for divisor in used}
    if missing:
        lost = min(missing, key=sp.default_sort_key)
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"{step.name}: the division by {lost} was cancelled before its condition could be asked for",
        )
    if not tried:
        return Judgement(Verdict.INCONCLUSIVE, f"{step.name}: no concrete instance could be evaluated")
    return Judgement(Verdict.PROVED)


# The exact route.


def _comparisons(step: Step, model: GenericModel, left: Expr, right: Expr) -> Iterator[tuple[Expr, Expr]]:
    """What has to be identical for the step to hold."""
    definitions = model.definitions(step.unfolds)
    flow = dict(
        zip(
            (sp.Derivative(w, TIME) for w in model.path(TIME)),
            (-model.loss_gradient(j, TIME) for j in range(model.params)),
            strict=True,
        )
    )
    gradient = model.definitions(step.unfolds + "g") if step.integrated else definitions

    def prepared(side: Expr) -> Expr:
        side = _settled(unfold(side, definitions))
        if step.along_flow:
            side = unfold(_replaced(side, flow), gradient)
        return _settled(side)

    if not step.integrated:
        yield prepared(left), prepared(right)
        return
    rates, starts = _rates_and_starts([unfold(side, definitions) for side in (left, right)])
    yield prepared(rates[0]), prepared(rates[1])
    yield starts[0], starts[1]


def _rates_and_starts(sides: list[Expr]) -> tuple[list[Expr], list[Expr]]:
    """The derivatives in the end of the interval, and the values at 0, of expressions that contain integrals.

    An integral from a fixed time is the function that is 0 at that time and whose derivative is the integrand (this is
    where the integrand's continuity is used, hypothesis H0). Both sides share the names of their integrals.
    """
    integrals = sorted(sp.Tuple(*sides).atoms(sp.Integral), key=sp.default_sort_key)
    names = {integral: sp.Function(f"J{k}")(TIME) for k, integral in enumerate(integrals)}
    rates, starts = dict[Expr, Expr](), dict[Expr, Expr]()
    for integral, name in names.items():
        integrand, (variable, lower, upper) = integral.args
        rates[sp.Derivative(name, TIME)] = integrand.xreplace({variable: upper}) * sp.diff(upper, TIME)
        if lower.has(TIME) or integrand.has(TIME) or upper.xreplace({TIME: sp.Integer(0)}) != lower:
            raise ValueError(f"not an integral from time 0: {integral}")
        starts[name] = sp.Integer(0)
    named = [_replaced(side, names) for side in sides]
    return (
        [_replaced(sp.diff(side, TIME), rates) for side in named],
        [_replaced(side, starts).xreplace({TIME: sp.Integer(0)}) for side in named],
    )


def _settled(side: Expr) -> Expr:
    """The side with its derivatives carried out and its empty integrals gone; nothing else is evaluated."""
    table = dict[Expr, Expr]()
    for node in side.atoms(sp.Derivative):
        inner, (variable, _) = node.args
        if isinstance(inner, AppliedUndef) and variable in inner.args:
            continue  # the derivative of an undefined function in one of its own arguments
        value = node.doit()
        if value != node:
            table[node] = value
    table |= {node: sp.Integer(0) for node in side.atoms(sp.Integral) if node.args[1][1] == node.args[1][2]}
    return _replaced(side, table)


def _replaced(node: Expr, table: dict[Expr, Expr]) -> Expr:
    """Replace whole sub-expressions, without evaluating the sums, products and powers around them."""
    if node in table:
        return table[node]
    return rebuilt(node, [_replaced(part, table) for part in node.args])


def _canonical(divisor: Expr) -> Expr:
    """A divisor up to a numerical factor, so that -K and K are the same condition."""
    numerator = sp.Poly(normal_form(divisor).numerator) if not divisor.is_number else None
    return divisor if numerator is None else numerator.monic().as_expr()


# The second route.


def _difference(sides: list[tuple[Expr, Expr]], model: GenericModel) -> tuple[str | None, int]:
    """A witness that two sides differ, if there is one among the instances; and how many instances were compared."""
    tried = 0
    for seed in _SEEDS:
        instance = _drawn(model, seed)
        try:
            values = [(instance.value(left), instance.value(right)) for left, right in sides]
        except ZeroDivisionError:
            continue  # an unlucky draw: a divisor of the step vanishes
        if not all(len(left) and len(right) for left, right in values):
            continue  # divisions have used up all coefficients: nothing is left to compare
        for place, (left, right) in enumerate(values):
            for power, (a, b) in enumerate(zip(left.coefficients, right.coefficients, strict=False)):
                if a != b:
                    component = f" (component {place + 1})" if len(sides) > 1 else ""
                    return (
                        f"with {instance.text()}, the coefficient of t^{power} is {a} on the left "
                        f"and {b} on the right{component}",
                        tried,
                    )
        tried += 1
        if tried == _WANTED_INSTANCES:
            break
    return None, tried


@lru_cache(maxsize=128)  # every step of a proof meets the same few instances
def _drawn(model: GenericModel, seed: int) -> Instance:
    return Instance.drawn(model, seed)


def _undeclared(step: Step, sides: list[tuple[Expr, Expr]], divisor: Expr) -> Judgement:
    """A step divides by what nothing keeps from zero: look for values where one side exists and the other does not."""
    reason = f"{step.name}: it divides by {divisor}, which no hypothesis keeps from zero"
    for left, right in sides:
        atoms = sorted(sp.Tuple(left, right).atoms(AppliedUndef, sp.Symbol) - {TIME}, key=sp.default_sort_key)
        atoms = [atom for atom in atoms if not any(atom in other.args for other in atoms)]
        if len(atoms) > 8:
            continue
        for values in product((1, 0), repeat=len(atoms)):
            table = dict(zip(atoms, map(sp.Integer, values), strict=True))
            one, other = _number(left, table), _number(right, table)
            if (one is None) != (other is None):
                given = ", ".join(f"{atom} = {value}" for atom, value in table.items())
                return Judgement(
                    Verdict.REFUTED,
                    reason,
                    f"{step.name}: with {given}, one side is {one if one is not None else other} "
                    f"and the other divides by zero",
                )
    return Judgement(Verdict.INCONCLUSIVE, reason)


def _number(side: Expr, table: dict[Expr, Expr]) -> Expr | None:
    """A side with numbers for its atoms; None where it divides by zero."""
    try:
        form = normal_form(_replaced(side, table))
        return form.numerator / form.denominator
    except ZeroDivisionError:
        return None
