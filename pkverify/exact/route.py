"""The exact route: closed forms, their digits, and the proof that the parts add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from pkverify.arithmetic.ball import Ball, ball_text, divided, working_precision
from pkverify.decomposition import Decomposition
from pkverify.errors import UntreatableError
from pkverify.evidence import Evidence, HypothesisEvidence, Verdict
from pkverify.exact.algebra import fraction
from pkverify.exact.ball_evaluation import decimal_value
from pkverify.exact.closed_forms import ClosedForm, find
from pkverify.exact.closed_forms.record import Expr
from pkverify.exact.formulas import Formulas
from pkverify.exact.identity import is_identity
from pkverify.exact.proof import Line, Proof, Terms
from pkverify.exact.zero_test import Outcome
from pkverify.problem import Problem, Vector
from pkverify.rational import decimal_text

# Whoever has more predictions or examples wants numbers, not formulas.
MOST_TERMS = 5000


def prove(problem: Problem) -> Proof:
    """Find the closed form of a problem's flow, ready to be proved and evaluated.

    Raises:
        UntreatableError: If no family fits, or the problem is too large to be written in formulas.
    """
    pairs = len(problem.data) * len(problem.query_inputs) * problem.model.output_count**2
    if pairs > MOST_TERMS:
        raise UntreatableError(
            f"no closed form: {pairs} path kernels would be written out",
            f"the exact route stops at {MOST_TERMS}",
            "ask for fewer queries, or use the precise or the certified route",
        )
    formulas = Formulas(problem)
    return Proof(formulas, find(formulas))


def decompose_exact(problem: Problem, digits: int) -> tuple[Decomposition, ...]:
    """Decompose every output at every query in closed form.

    Args:
        problem: The problem.
        digits: Significant digits of the decimals; each printed digit is right.

    Returns:
        One record per query and output: query by query, then output. ``closed_form`` holds the formulas by field
        name, and for flows that are not explicit in time, under ``progress``, the progress variable at the horizon.

    Raises:
        UntreatableError: If the problem has no closed form here, or a digit cannot be settled.

    Example:
        >>> from pkverify.losses import Loss
        >>> from pkverify.models import LayeredModel
        >>> from pkverify.problem import Dataset
        >>> one = Fraction(1)
        >>> line = LayeredModel("linear", (1, 1), None, False)
        >>> problem = Problem(line, Loss("squared"), Dataset(((one,),), ((one,),)), (0 * one,), one)
        >>> (record,) = decompose_exact(problem, 10)  # w = 1 - exp(-t)
        >>> record.final_output, record.closed_form["final_output"], record.path_kernel, record.residual
        ('0.6321205588', '1 - exp(-1)', ('1',), '0')
    """
    proof = prove(problem)
    return tuple(
        _Split(proof, query, output, digits).record()
        for query in problem.query_inputs
        for output in range(problem.model.output_count)
    )


def verify_exact(problem: Problem) -> Evidence:
    """Prove the integral identity (T1) on a problem, if its flow has a closed form.

    Returns:
        ``proved`` if the flow, its initial value, every antiderivative and the residual are identities, and the closed
        form is shown to stand on all of [0, T]; ``inconclusive`` with the first thing that is not.

    Raises:
        UntreatableError: If the problem has no closed form here.
    """
    proof = prove(problem)
    outputs = range(problem.model.output_count)
    lines = [*proof.flow_lines]
    for query in problem.query_inputs:
        for output in outputs:
            lines += proof.split_lines(query, output)
    open_lines = [line for line in lines if line.outcome is not Outcome.ZERO]
    hypotheses = _hypotheses(proof, open_lines)
    if not open_lines:
        return Evidence(
            "T1", Verdict.PROVED, "exact", hypotheses, residual="0", route="exact",
            message=f"closed form ({proof.form.family}): {len(lines)} identities proved",
        )  # fmt: skip
    first = open_lines[0]
    if len(open_lines) == 1 and first.claim == "T1" and first.outcome is Outcome.NONZERO:
        return Evidence(
            "T1", Verdict.REFUTED, "exact", hypotheses, witness=first.detail, message=first.statement, route="exact"
        )
    fault = "is wrong" if any(line.outcome is Outcome.NONZERO for line in open_lines) else "is not proved"
    return Evidence(
        "T1", Verdict.INCONCLUSIVE, "exact", hypotheses, route="exact",
        message=f"the closed form ({proof.form.family}) {fault}: {first.statement}: {first.detail}",
    )  # fmt: skip


def verify_kernels(problem: Problem) -> Evidence:
    """Prove that the path kernels of ``decompose_exact`` are the integrals of the tangent kernels (D8).

    Returns:
        ``proved``, or ``inconclusive`` with the first line that is not: a kernel without an antiderivative, say, which
        is integrated in balls.

    Raises:
        UntreatableError: If the problem has no closed form here.
    """
    proof = prove(problem)
    outputs = range(problem.model.output_count)
    lines = [line for query in problem.query_inputs for k in outputs for line in proof.kernel_lines(query, k)]
    open_lines = [line for line in (*proof.flow_lines, *lines) if line.outcome is not Outcome.ZERO]
    hypotheses = _hypotheses(proof, open_lines)
    if open_lines:
        first = open_lines[0]
        return Evidence(
            "D8", Verdict.INCONCLUSIVE, "exact", hypotheses, route="exact",
            message=f"{first.statement}: {first.detail}",
        )  # fmt: skip
    return Evidence(
        "D8", Verdict.PROVED, "exact", hypotheses, residual="0", route="exact",
        message=f"{len(lines)} identities: each closed form, differentiated, is its tangent kernel",
    )  # fmt: skip


def _hypotheses(proof: Proof, open_lines: list[Line]) -> tuple[HypothesisEvidence, ...]:
    names = {line.claim for line in open_lines}
    flow = Verdict.INCONCLUSIVE if names & {"P2", "T1f"} else Verdict.PROVED
    smooth = Verdict.INCONCLUSIVE if any("branch cut" in line.statement for line in open_lines) else Verdict.PROVED
    return (
        HypothesisEvidence("H0", smooth, "model and loss are analytic in a neighbourhood of the path, shown in balls"),
        HypothesisEvidence(
            "H2",
            flow,
            f"the closed form ({proof.form.family}) solves the flow and has no pole on [0, {proof.path.horizon}]",
        ),
    )


@dataclass(frozen=True)
class _Split:
    """The numbers of one output at one query."""

    proof: Proof
    query: Vector
    output: int
    digits: int

    def record(self) -> Decomposition:
        terms = self.proof.terms(self.query, self.output)
        kernels = [
            tuple(self._number(k, rate) for k, rate in zip(row, rates, strict=True))
            for row, rates in zip(terms.kernels, terms.kernel_rates, strict=True)
        ]
        weights, absent = self._weights(terms)
        single = self.proof.formulas.problem.model.output_count == 1
        return Decomposition(
            route="exact",
            digits=self.digits,
            query=self.query,
            output=self.output,
            initial_output=self._number(terms.initial, None),
            final_output=self._number(terms.output, None),
            contributions=tuple(self._number(c, r) for c, r in zip(terms.contributions, terms.rates, strict=True)),
            regularizer_term=self._number(terms.regularizer, terms.regularizer_rate),
            residual=self._residual(terms),
            path_kernel=tuple(row[0] for row in kernels) if single else tuple(kernels),
            weights=tuple(text for text, _ in weights),
            horizon=self.proof.path.horizon,
            weights_absent=absent,
            closed_form=self._closed_form(terms, [formula for _, formula in weights]),
        )

    # Decimals.

    def _number(self, expression: Expr | None, rate: Expr | None) -> str:
        """A number from its closed form, or by rigorous quadrature of its rate where it has none."""
        if expression is None:
            assert rate is not None
            return self._settled(lambda bits: self.proof.path.quadrature(rate, bits), rate)
        here = self._at_end(expression)
        if here.is_Rational:
            return decimal_text(fraction(here), self.digits, trim_exact=True)
        if is_identity(here, sp.Integer(0)):
            return "0"
        return self._settled(lambda bits: self.proof.path.value(expression, bits), expression)

    def _settled(self, enclose: Callable[[int], Ball], what: Expr) -> str:
        text = decimal_value(enclose, self.digits)
        if text is None:
            raise UntreatableError(
                f"the digits of {str(what)[:80]} cannot be settled",
                "the largest precision leaves a digit open: it is 0 or very small, or the horizon very long",
                "use a shorter horizon, or the certified route",
            )
        return text

    def _at_end(self, expression: Expr) -> Expr:
        form = self.proof.form
        if not form.is_explicit_in_time:
            return expression
        horizon = self.proof.path.horizon
        return expression.xreplace({form.time: sp.Rational(horizon.numerator, horizon.denominator)})

    def _residual(self, terms: Terms) -> str:
        if terms.residual is not None and is_identity(terms.residual, sp.Integer(0)):
            return "0"
        bits = 64 + 8 * self.digits
        path = self.proof.path
        with working_precision(bits):
            parts = [
                path.quadrature(rate, bits) if primitive is None else path.value(primitive, bits)
                for primitive, rate in (
                    *zip(terms.contributions, terms.rates, strict=True),
                    (terms.regularizer, terms.regularizer_rate),
                )
            ]
            return ball_text(path.value(terms.output - terms.initial, bits) - sum(parts[1:], parts[0]), self.digits)

    # Weights.

    def _weights(self, terms: Terms) -> tuple[list[tuple[str | tuple[str, ...] | None, str | None]], dict[int, str]]:
        found: list[tuple[str | tuple[str, ...] | None, str | None]] = []
        absent: dict[int, str] = {}
        for example in range(len(terms.contributions)):
            weight = self._weight(terms, example)
            if isinstance(weight, str):
                absent[example] = weight
                found.append((None, None))
            else:
                texts, formulas = zip(*weight, strict=True)
                single = len(texts) == 1
                found.append((texts[0] if single else tuple(texts), formulas[0] if single else None))
        return found, absent

    def _weight(self, terms: Terms, example: int) -> list[tuple[str, str | None]] | str:
        """a_i with its formula, one for each output; or the reason why there is none."""
        formulas, zero = self.proof.formulas, sp.Integer(0)
        outputs = range(len(terms.kernel_rates[example]))
        derivatives = [formulas.along(d, self.proof.form.params) for d in formulas.loss_derivatives[example]]
        weights: list[tuple[str, str | None]] = []
        for k in outputs:
            own = terms if k == self.output else self.proof.terms(self.query, k)
            rates, kernel = own.kernel_rates[example], own.kernels[example][k]
            if any(other != k and not is_identity(rates[other], zero) for other in outputs):
                return (
                    "the path kernel between different outputs is not zero, and single kernels only are divided by here"
                )
            if is_identity(rates[k], zero):
                return "the path kernel is identically zero, and so is the contribution: any weight serves"
            if kernel is not None and is_identity(self._at_end(kernel), zero):
                part = own.contributions[example]
                if part is not None and is_identity(self._at_end(part), zero):
                    return "the path kernel and the contribution are zero at this horizon: any weight serves"
                return "the path kernel is zero at this horizon, though the tangent kernel is not: hypothesis H3 fails"
            constant = sp.expand(derivatives[k])
            if constant.is_Rational:  # a constant L' is its own average, exactly
                weights.append((decimal_text(fraction(-constant), self.digits, trim_exact=True), str(-constant)))
                continue
            text = decimal_value(self._ratio(own, example, k), self.digits)
            if text is None:
                return "the path kernel could not be separated from zero"
            weights.append((text, self._quotient_text(own.contributions[example], kernel)))
        return weights

    def _ratio(self, terms: Terms, example: int, k: int) -> Callable[[int], Ball]:
        path = self.proof.path

        def enclose(bits: int) -> Ball:
            pairs = (
                (terms.contributions[example], terms.rates[example]),
                (terms.kernels[example][k], terms.kernel_rates[example][k]),
            )
            above, below = (
                path.quadrature(rate, bits) if primitive is None else path.value(primitive, bits)
                for primitive, rate in pairs
            )
            return divided(above, below)

        return enclose

    # Text.

    def _quotient_text(self, contribution: Expr | None, kernel: Expr | None) -> str | None:
        if contribution is None or kernel is None:
            return None
        return str(self._at_end(contribution) / self._at_end(kernel))

    def _text(self, expression: Expr | None) -> str | None:
        return None if expression is None else str(self._at_end(expression))

    def _closed_form(self, terms: Terms, weights: list[str | None]) -> dict[str, str | tuple[str | None, ...]]:
        texts: dict[str, str | tuple[str | None, ...]] = {
            "initial_output": str(terms.initial),
            "final_output": str(self._at_end(terms.output)),
            "contributions": tuple(self._text(c) for c in terms.contributions),
            "weights": tuple(weights),
        }
        if self.proof.formulas.problem.model.output_count == 1:
            texts["path_kernel"] = tuple(self._text(row[0]) for row in terms.kernels)
        if terms.regularizer is not None and self.proof.formulas.problem.regularizer is not None:
            texts["regularizer_term"] = str(self._at_end(terms.regularizer))
        if not self.proof.form.is_explicit_in_time:
            texts["progress"] = progress_text(self.proof.form, self.proof.path.horizon)
        return texts


def progress_text(form: ClosedForm, horizon: Fraction) -> str:
    """Where the progress variable is at the horizon: explicitly, or by the equation that it solves."""
    if form.explicit is not None:
        end = form.explicit.xreplace({form.time: sp.Rational(horizon.numerator, horizon.denominator)})
        return f"{form.progress} = {end} ({form.meaning})"
    return f"{form.progress} ({form.meaning}) solves {form.elapsed} = {horizon}"
