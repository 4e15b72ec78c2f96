"""Proving a closed form, field by field, for the numbers of one problem.

What is proved does not depend on how the form was found: its parameters are put into the gradient flow of the problem
as it was read, its antiderivatives are differentiated, and what comes out must be identical, as rational functions of
the exponentials, logarithms and roots that occur.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from pkverify.arithmetic.ball import BallDomainError
from pkverify.exact.closed_forms.record import ClosedForm, Expr, Integrand
from pkverify.exact.formulas import Formulas
from pkverify.exact.identity import is_identity
from pkverify.exact.path import Path
from pkverify.exact.zero_test import Outcome, zero_test
from pkverify.problem import Vector


@dataclass(frozen=True)
class Line:
    """One thing that had to be proved: the claim it belongs to, what it says, and what came out.

    Attributes:
        claim: The claim's id.
        statement: What was to be proved.
        outcome: ``ZERO`` where it is proved, ``NONZERO`` where a ball refutes it, else ``UNKNOWN``.
        detail: The refuting point, or why it is not known.
    """

    claim: str
    statement: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class Terms:
    """The split of one output at one query, as functions of the progress variable s (values at s = end of the path).

    Attributes:
        initial: The output at the start.
        output: The output along the path.
        kernel_rates: The tangent kernels along the path, example by example, one for each output of the example.
        kernels: Their antiderivatives over time, None where there is no closed form.
        rates: What each example adds to the output in time, along the path.
        contributions: Their antiderivatives over time, None where there is no closed form.
        regularizer_rate: What the regulariser adds to the output in time.
        regularizer: Its antiderivative.
    """

    initial: Expr
    output: Expr
    kernel_rates: tuple[tuple[Expr, ...], ...]
    kernels: tuple[tuple[Expr | None, ...], ...]
    rates: tuple[Expr, ...]
    contributions: tuple[Expr | None, ...]
    regularizer_rate: Expr
    regularizer: Expr | None

    @property
    def residual(self) -> Expr | None:
        """Final output minus the sum of its parts, or None where a part has no closed form."""
        parts = (*self.contributions, self.regularizer)
        return None if any(part is None for part in parts) else self.output - self.initial - sp.Add(*parts)


class Proof:
    """A closed form together with its proof for one problem.

    Args:
        formulas: The problem.
        form: A closed form of its flow.
    """

    def __init__(self, formulas: Formulas, form: ClosedForm) -> None:
        self.formulas = formulas
        self.form = form
        self.path = Path(form, formulas.problem.horizon)
        self._terms: dict[tuple[Vector, int], Terms] = {}

    def terms(self, query: Vector, output: int) -> Terms:
        """The split of one output at one query."""
        key = (query, output)
        if key not in self._terms:
            self._terms[key] = self._split(query, output)
        return self._terms[key]

    def _split(self, query: Vector, output: int) -> Terms:
        formulas, form = self.formulas, self.form
        path, width = form.params, formulas.problem.model.output_count
        kernel_rates, kernels, rates, contributions = [], [], [], []
        for example in range(len(formulas.problem.data)):
            row = [formulas.along(formulas.tangent_kernel(query, output, example, k), path) for k in range(width)]
            kernel_rates.append(tuple(row))
            kernels.append(
                tuple(form.primitive(Integrand("kernel", r, query, output, example, k)) for k, r in enumerate(row))
            )
            rate = formulas.along(formulas.contribution_rate(query, output, example), path)
            rates.append(rate)
            contributions.append(form.primitive(Integrand("contribution", rate, query, output, example)))
        pull = formulas.along(formulas.regularizer_rate(query, output), path)
        function = formulas.outputs(query)[output]
        return Terms(
            formulas.along(function, formulas.start),
            formulas.along(function, path),
            tuple(kernel_rates),
            tuple(kernels),
            tuple(rates),
            tuple(contributions),
            pull,
            form.primitive(Integrand("regularizer", pull, query, output)),
        )

    # The lines.

    @cached_property
    def flow_lines(self) -> tuple[Line, ...]:
        """That the form is the gradient flow from the initial parameters, up to the horizon."""
        return tuple(self._flow_lines())

    def _flow_lines(self) -> Iterator[Line]:
        form, s = self.form, self.form.progress
        names = self.formulas.problem.model.params
        for name, weight, slope in zip(names, form.params, self.formulas.gradient, strict=True):
            left = sp.diff(weight, s) * form.rate
            yield self._line("P2", f"d{name}/dt = -dL/d{name}", left, -self.formulas.along(slope, form.params))
        for name, weight, begin in zip(names, form.params, self.formulas.start, strict=True):
            yield self._line("P2", f"{name}(0) = {begin}", weight.xreplace({s: form.start}), begin)
        yield self._line("P2", "dG/ds = 1/g: the time elapsed", sp.diff(form.elapsed, s) * form.rate, sp.Integer(1))
        begin = form.elapsed.xreplace({s: form.start}).replace(sp.Integral, _without_empty)
        yield self._line("P2", "G = 0 at the start", begin, sp.Integer(0))
        yield self.existence

    @cached_property
    def existence(self) -> Line:
        """H2: the closed form stands on all of [0, T]."""
        slopes = [self.formulas.along(slope, self.form.params) for slope in self.formulas.gradient]
        reason = self.path.why_not(slopes)
        outcome = Outcome.ZERO if reason is None else Outcome.UNKNOWN
        return Line("T1f", "no pole, branch cut or standstill of the closed form on [0, T]", outcome, reason or "")

    def split_lines(self, query: Vector, output: int) -> Iterator[Line]:
        """That the contributions are the integrals they should be, and that they add up."""
        terms, s = self.terms(query, output), self.form.progress
        pieces = [
            (f"contribution {i + 1}", c, r)
            for i, (c, r) in enumerate(zip(terms.contributions, terms.rates, strict=True))
        ]
        pieces.append(("regularizer term", terms.regularizer, terms.regularizer_rate))
        at = f"at x = ({', '.join(map(str, query))}), output {output}"
        for name, primitive, rate in pieces:
            yield from self._antiderivative("P8", f"{name} {at}", primitive, rate)
        analytic = [terms.output, *terms.rates, *(c for c in terms.contributions if c is not None)]
        reason = self.path.why_not(analytic)
        yield Line(
            "P8", f"no branch cut between 0 and T {at}", Outcome.UNKNOWN if reason else Outcome.ZERO, reason or ""
        )
        if terms.residual is not None:
            yield self._line("T1", f"residual {at}", terms.residual, sp.Integer(0))
        yield self._line("T1g", f"initial output {at}", terms.output.xreplace({s: self.form.start}), terms.initial)

    def kernel_lines(self, query: Vector, output: int) -> Iterator[Line]:
        """That the path kernels are the integrals they should be."""
        terms = self.terms(query, output)
        for example, (kernels, rates) in enumerate(zip(terms.kernels, terms.kernel_rates, strict=True)):
            for primitive, rate in zip(kernels, rates, strict=True):
                yield from self._antiderivative("D8", f"path kernel with example {example + 1}", primitive, rate)

    def _antiderivative(self, claim: str, name: str, primitive: Expr | None, rate: Expr) -> Iterator[Line]:
        s = self.form.progress
        if primitive is None:
            yield Line(claim, f"{name} has a closed form", Outcome.UNKNOWN, "no antiderivative is known")
            return
        yield self._line(claim, f"{name}: d/dt of its closed form", sp.diff(primitive, s) * self.form.rate, rate)
        yield self._line(claim, f"{name}: 0 at time 0", primitive.xreplace({s: self.form.start}), sp.Integer(0))

    def _line(self, claim: str, statement: str, left: Expr, right: Expr) -> Line:
        try:
            if is_identity(left, right):
                return Line(claim, statement, Outcome.ZERO)
            test = zero_test(left - right, {self.form.progress: self.path.span})
        except (ZeroDivisionError, BallDomainError) as error:
            return Line(claim, statement, Outcome.UNKNOWN, str(error))
        return Line(claim, statement, test.outcome, "" if test.outcome is Outcome.ZERO else str(test))


def _without_empty(function: Expr, *limits: Expr) -> Expr:
    """An integral, or 0 where it runs from a point to itself."""
    return sp.Integer(0) if limits[0][1] == limits[0][2] else sp.Integral(function, *limits)
