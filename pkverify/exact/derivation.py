"""The derivation of the theorem on one problem, line by line, each under the id of the claim that it instantiates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import sympy as sp

from pkverify.arithmetic.ball import is_positive
from pkverify.errors import UntreatableError
from pkverify.evidence import DerivationStep, Verdict
from pkverify.exact.ball_evaluation import evaluate_real
from pkverify.exact.closed_forms.record import Expr
from pkverify.exact.formulas import Formulas
from pkverify.exact.identity import divided, is_identity, obligations, times
from pkverify.exact.limits import limit_at_infinity, limit_of_ratio
from pkverify.exact.proof import Line, Proof, Terms
from pkverify.exact.route import prove
from pkverify.exact.zero_test import Outcome
from pkverify.problem import Problem

# Formulas beyond this are for machines: the line then says so instead.
_LONGEST = 1500
_MOST_PARAMS = 12


@dataclass(frozen=True)
class Derivation:
    """The theorem on one problem: its steps, and the closed forms by name, as text and as LaTeX.

    Attributes:
        title: What it is the derivation of.
        steps: The lines, in the order of the proof.
        closed_forms: Name -> (text, LaTeX): weights, kernels, contributions; empty where there is no closed form.
    """

    title: str
    steps: tuple[DerivationStep, ...]
    closed_forms: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, "tuple[str, str]"])

    def latex(self) -> str:
        """A document fragment; it needs amsmath and nothing else."""
        rows = [f"  &{step.latex} && \\text{{({step.claim}, {step.verdict.value})}}" for step in self.steps]
        body = " \\\\\n".join(rows)
        return f"\\paragraph{{{_escaped(self.title)}}}\n\\begin{{align*}}\n{body}\n\\end{{align*}}\n"

    def __str__(self) -> str:
        lines = [self.title]
        for step in self.steps:
            lines.append(f"  {step.claim:<4} {step.text}  [{step.verdict.value}]")
            lines += [f"       {step.message}"] if step.message else []
        return "\n".join(lines)

    def _repr_latex_(self) -> str:
        rows = " \\\\ ".join(f"{step.latex} & \\text{{({step.claim})}}" for step in self.steps)
        return f"$\\displaystyle \\begin{{array}}{{ll}} {rows} \\end{{array}}$"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002 - Jupyter's
        # No text/html: notebooks would prefer it, and not all of them typeset the formulas in it.
        return {"text/plain": str(self), "text/latex": self._repr_latex_()}


def derive(problem: Problem) -> Derivation:
    """Derive the theorem on a problem: in closed form where there is one, and otherwise as far as formulas reach.

    Args:
        problem: The problem; the derivation follows its first query and output.

    Returns:
        The derivation; a step is ``proved`` only where it was proved for this problem.

    Example:
        >>> from fractions import Fraction
        >>> from pkverify.losses import Loss
        >>> from pkverify.models import LayeredModel
        >>> from pkverify.problem import Dataset
        >>> one = Fraction(1)
        >>> line = LayeredModel("linear", (1, 1), None, False)
        >>> derivation = derive(Problem(line, Loss("squared"), Dataset(((one,),), ((one,),)), (0 * one,), one))
        >>> derivation.closed_forms["w_1_1"][0]
        '1 - exp(-t)'
        >>> [step.text for step in derivation.steps if step.claim == "T1"]
        ['y_T - (y_0 + sum of the contributions) = 0']
    """
    title = problem.title or f"{problem.model.kind} model, {problem.loss.kind} loss"
    formulas = Formulas(problem)
    opening = [*_flow_steps(formulas), *_chain_steps(formulas)]
    try:
        proof = prove(problem)
    except UntreatableError as reason:
        return Derivation(title, (*opening, *_numeric_steps(str(reason.what))))
    closed = _closed_forms(proof)
    steps = (*opening, *_solution_steps(proof), *_integral_steps(proof), *_ratio_steps(proof), *_limit_steps(proof))
    return Derivation(title, steps, closed)


def _step(
    claim: str, left: str | tuple[str, str], right: Expr | str, verdict: Verdict, message: str = ""
) -> DerivationStep:
    """A line ``left = right``: left as text, or as text and LaTeX; right an expression, or words."""
    text, latex = (left, left) if isinstance(left, str) else left
    if not isinstance(right, str) and len(str(right)) > _LONGEST:
        right = f"(a formula of {len(str(right))} characters)"
    right_latex = rf"\text{{{_escaped(right)}}}" if isinstance(right, str) else sp.latex(right)
    return DerivationStep(claim, f"{text} = {right}", f"{latex} = {right_latex}", verdict, message)


def _verdict(lines: Iterable[Line]) -> tuple[Verdict, str]:
    failed = [line for line in lines if line.outcome is not Outcome.ZERO]
    return (Verdict.PROVED, "") if not failed else (Verdict.INCONCLUSIVE, f"{failed[0].statement}: {failed[0].detail}")


# The lines that need no closed form.


def _flow_steps(formulas: Formulas) -> Iterable[DerivationStep]:
    if len(formulas.params) > _MOST_PARAMS:
        yield DerivationStep(
            "P2", f"dw/dt = -dL/dw for {len(formulas.params)} parameters", r"\dot w = -\nabla L(w)", Verdict.PROVED,
            "the limit of gradient descent under H1, H2, H5: the flow is what is verified",
        )  # fmt: skip
        return
    for symbol, slope in zip(formulas.params, formulas.gradient, strict=True):
        name = sp.latex(symbol)
        message = "the limit of gradient descent under H1, H2, H5: the flow is what is verified"
        yield _step("P2", (f"d{symbol}/dt", rf"\frac{{d {name}}}{{dt}}"), -slope, Verdict.PROVED, message)


def _chain_steps(formulas: Formulas) -> Iterable[DerivationStep]:
    """P3 to P7 at the first query: the chain rule along the flow, sorted by examples."""
    problem = formulas.problem
    if len(formulas.params) > _MOST_PARAMS:
        yield DerivationStep(
            "P7", "dy/dt = - sum_i L'_i K_t(x, x_i)", r"\frac{dy}{dt} = -\sum_i L'_i K_t(x, x_i)", Verdict.PROVED,
            "the chain rule; too many parameters to write it out",
        )  # fmt: skip
        return
    query = problem.query_inputs[0]
    slopes = formulas.slopes(formulas.outputs(query)[0])
    flow = sp.Add(*(-a * b for a, b in zip(slopes, formulas.gradient, strict=True)))
    rates = [formulas.contribution_rate(query, 0, example) for example in range(len(problem.data))]
    # Sums and products alone make this true: what stands inside functions may be any number, and is not looked at.
    total = sp.Add(*rates, formulas.regularizer_rate(query, 0))
    # The same goes for quotients, whose common denominator over many examples would be out of reach.
    opaque = {node for side in (flow, total) for node in side.atoms(sp.Function, sp.Pow) if _is_opaque(node)}
    blind = {node: sp.Dummy() for node in opaque}
    proved = is_identity(flow.xreplace(blind), total.xreplace(blind))
    verdict, message = (Verdict.PROVED, "") if proved else (Verdict.INCONCLUSIVE, "the two sides were not shown equal")
    yield _step("D7", "K_t(x, x')", _generic_kernel(formulas), Verdict.PROVED, "the tangent kernel")
    yield _step("P5", "L'", _generic_slope(formulas), Verdict.PROVED, "the loss derivative of one example")
    pull = " - grad f(x) . grad R" if problem.regularizer else ""
    pull_latex = r" - \nabla f(x) \cdot \nabla R" if problem.regularizer else ""
    yield DerivationStep(
        "P7",
        f"dy/dt = - sum_i L'_i K_t(x, x_i){pull}",
        rf"\frac{{dy}}{{dt}} = -\sum_i L'_i K_t(x, x_i){pull_latex}",
        verdict,
        message,
    )


def _is_opaque(node: Expr) -> bool:
    return not isinstance(node, sp.Pow) or bool(node.exp.is_negative)


def _generic_kernel(formulas: Formulas) -> Expr:
    output = formulas.generic_outputs[0]
    other = {symbol: sp.Symbol(f"{symbol.name}'", real=True) for symbol in formulas.inputs}
    if len(other) == 1:
        (symbol,) = other
        names = {symbol: sp.Symbol("x", real=True)}
        other = {symbol: sp.Symbol("x'", real=True)}
    else:
        names = {}
    slopes = formulas.slopes(output)
    return sp.Add(*(slope.xreplace(names) * slope.xreplace(other) for slope in slopes))


def _generic_slope(formulas: Formulas) -> Expr:
    count = len(formulas.loss_symbols)
    several = formulas.problem.loss.target_count(count)
    targets = [sp.Symbol("target" if several == 1 else f"target{k}", real=True) for k in range(several)]
    names = {s: sp.Symbol("y" if count == 1 else f"y{k}", real=True) for k, s in enumerate(formulas.loss_symbols)}
    return formulas.loss_slopes(targets)[0].xreplace(names)


def _numeric_steps(reason: str) -> Iterable[DerivationStep]:
    for claim, text, latex in (
        (
            "P8",
            "y_T = y_0 - sum_i integral_0^T L'_i K_t(x, x_i) dt",
            r"y_T = y_0 - \sum_i \int_0^T L'_i K_t(x, x_i)\,dt",
        ),
        ("P11", "K(x, x_i) = integral_0^T K_t(x, x_i) dt", r"K(x, x_i) = \int_0^T K_t(x, x_i)\,dt"),
        ("P12", "y_T = sum_i a_i K(x, x_i) + b", r"y_T = \sum_i a_i K(x, x_i) + b"),
    ):
        yield DerivationStep(claim, text, latex, Verdict.INCONCLUSIVE, f"numeric from here on: {reason}")


# The lines of a closed form.


def _closed_forms(proof: Proof) -> dict[str, tuple[str, str]]:
    form, terms = proof.form, _terms(proof)
    named: dict[str, Expr | None] = dict(zip(proof.formulas.problem.model.params, form.params, strict=True))
    if not form.is_explicit_in_time:
        named |= {
            f"d{form.progress}/dt": form.rate,
            f"G({form.progress})": form.elapsed,
            f"{form.progress}(t)": form.explicit,
        }
    named |= {"y_0": terms.initial, "y": terms.output}
    for example, (row, part) in enumerate(zip(terms.kernels, terms.contributions, strict=True), start=1):
        named |= {f"K_{example}": row[0], f"contribution_{example}": part}
    if proof.formulas.problem.regularizer is not None:
        named["regularizer_term"] = terms.regularizer
    return {name: (str(value), sp.latex(value)) for name, value in named.items() if value is not None}


def _terms(proof: Proof) -> Terms:
    return proof.terms(proof.formulas.problem.query_inputs[0], 0)


def _at_horizon(proof: Proof, expression: Expr | None) -> Expr | str:
    """An integral up to the horizon: in T, or in the value s_T that the progress variable has there."""
    if expression is None:
        return "an integral without closed form here"
    form = proof.form
    end = sp.Symbol("T" if form.is_explicit_in_time else f"{form.progress}_T", real=True)
    return expression.xreplace({form.progress: end})


def _solution_steps(proof: Proof) -> Iterable[DerivationStep]:
    form = proof.form
    verdict, message = _verdict(proof.flow_lines)
    at = "t" if form.is_explicit_in_time else str(form.progress)
    for symbol, weight in zip(proof.formulas.params, form.params, strict=True):
        left = (f"{symbol}({at})", f"{sp.latex(symbol)}({at})")
        yield _step("P2", left, weight, verdict, message or "substituted back, initial value included")
    if form.is_explicit_in_time:
        return
    s = sp.latex(form.progress)
    left = (f"d{form.progress}/dt", rf"\frac{{d {s}}}{{dt}}")
    yield _step("P2", left, form.rate, verdict, f"{form.progress} is {form.meaning}")
    yield _step("P2", "t", form.elapsed, verdict, "the time elapsed: its derivative is 1/rate")
    if form.explicit is not None:
        yield _step("P2", (f"{form.progress}(t)", f"{s}(t)"), form.explicit, *_explicit_verdict(proof))


def _explicit_verdict(proof: Proof) -> tuple[Verdict, str]:
    form = proof.form
    explicit = form.explicit
    assert explicit is not None
    equation = is_identity(sp.diff(explicit, form.time), form.rate.xreplace({form.progress: explicit}))
    begin = explicit.xreplace({form.time: sp.Integer(0)})
    begin = begin.replace(sp.LambertW, _unfolded)
    # Nested roots are compared by their squares, and by their signs in a ball.
    start = is_identity(begin, form.start) or (
        is_identity(begin**2, form.start**2) and is_positive(evaluate_real(begin * form.start))
    )
    if equation and start:
        return Verdict.PROVED, "solves the equation of the progress variable, initial value included"
    return (
        Verdict.INCONCLUSIVE,
        "not shown identically; no number rests on it" if equation else "not shown to solve the equation",
    )


def _unfolded(argument: Expr) -> Expr:
    """W(u e^u) = u for u > -1, where such a u stands in the argument as a factor or in its exponent."""
    factors = [factor for factor in sp.Mul.make_args(argument) if not isinstance(factor, sp.exp)]
    inner = [term for node in argument.atoms(sp.exp) for term in sp.Add.make_args(node.exp)]
    for candidate in (sp.Mul(*factors), *inner):
        if is_identity(argument, candidate * sp.exp(candidate)) and is_positive(evaluate_real(candidate + 1)):
            return candidate
    return sp.LambertW(argument)


def _integral_steps(proof: Proof) -> Iterable[DerivationStep]:
    problem, terms = proof.formulas.problem, _terms(proof)
    query = problem.query_inputs[0]
    lines = list(proof.split_lines(query, 0))
    verdict, message = _verdict(line for line in lines if line.claim == "P8")
    yield _step("T1g", "b = y_0", terms.initial, *_verdict(line for line in lines if line.claim == "T1g"))
    for example, part in enumerate(terms.contributions, start=1):
        latex = rf"-\int_0^T L'_{{{example}}} K_t(x, x_{{{example}}})\,dt"
        left = (f"-integral L'_{example} K_t(x, x_{example}) dt", latex)
        yield _step("P8", left, _at_horizon(proof, part), verdict, message)
    if problem.regularizer is not None:
        left = ("-integral grad f(x) . grad R dt", r"-\int_0^T \nabla f(x) \cdot \nabla R\,dt")
        yield _step("R4a", left, _at_horizon(proof, terms.regularizer), verdict, message)
    flow, why = _verdict(proof.flow_lines)
    total, why_total = _verdict(lines)
    worst = (flow, why) if flow is not Verdict.PROVED else (total, why_total)
    text = "y_T - (y_0 + sum of the contributions) = 0"
    yield DerivationStep("T1", text, r"y_T - \Bigl(y_0 + \sum_i -\int_0^T L'_i K_t(x, x_i)\,dt\Bigr) = 0", *worst)


def _ratio_steps(proof: Proof) -> Iterable[DerivationStep]:
    terms, problem = _terms(proof), proof.formulas.problem
    verdict, message = _verdict(proof.kernel_lines(problem.query_inputs[0], 0))
    if problem.model.output_count > 1:
        yield DerivationStep(
            "P9", "a_i solves a linear system in the matrix K(x, x_i)", r"N_i = K(x, x_i)\, a_i",
            Verdict.NOT_APPLICABLE, "with several outputs the quotient is a matrix equation (claim T1k)",
        )  # fmt: skip
        return
    for example, (row, part) in enumerate(zip(terms.kernels, terms.contributions, strict=True), start=1):
        kernel, whole = _at_horizon(proof, row[0]), _at_horizon(proof, part)
        yield _step("P11", (f"K(x, x_{example})", f"K(x, x_{{{example}}})"), kernel, verdict, message)
        if isinstance(kernel, str) or isinstance(whole, str):
            continue
        if is_identity(kernel, sp.Integer(0)):
            text = f"K(x, x_{example}) = 0 identically: nothing is divided, and any a_{example} serves"
            yield DerivationStep(
                "P9", text, rf"K(x, x_{{{example}}}) \equiv 0", Verdict.PROVED, "T1a holds with that weight free"
            )
            continue
        # Unevaluated, or the division and its condition would both cancel without a trace.
        quotient = divided(whole, kernel)
        conditions = ", ".join(f"{condition} != 0" for condition in obligations(times(quotient, kernel)))
        left = (f"a_{example}", f"a_{{{example}}}")
        yield _step("P9", left, whole / kernel, verdict, f"provided that {conditions or 'K != 0'} (H3)")
    pull = (" + regularizer term", r" - \int_0^T \nabla f(x) \cdot \nabla R\,dt") if problem.regularizer else ("", "")
    total, total_latex = f"y_T = sum_i a_i K(x, x_i) + b{pull[0]}", rf"y_T = \sum_i a_i K(x, x_i) + b{pull[1]}"
    yield DerivationStep("P12", total, total_latex, verdict, "under H3; a_i and b may depend on x")


def _limit_steps(proof: Proof) -> Iterable[DerivationStep]:
    form, terms = proof.form, _terms(proof)
    named: list[tuple[str, str, Expr | None]] = [("y_T", "y_T", limit_at_infinity(form, terms.output))]
    if proof.formulas.problem.model.output_count == 1:
        for example, (row, part) in enumerate(zip(terms.kernels, terms.contributions, strict=True), start=1):
            if row[0] is None or part is None or is_identity(row[0], sp.Integer(0)):
                continue
            named.append((f"K(x, x_{example})", f"K(x, x_{{{example}}})", limit_at_infinity(form, row[0])))
            named.append((f"a_{example}", f"a_{{{example}}}", limit_of_ratio(form, part, row[0])))
    verdict, message = Verdict.PROVED, ""
    if form.limit is not None and form.limit.is_infinite and not form.is_explicit_in_time:
        verdict, message = Verdict.INCONCLUSIVE, "SymPy's limit, not proved here"
    for text, latex, value in named:
        if value is not None:
            arrow = rf"{latex} \to {sp.latex(value)} \quad (T \to \infty)"
            yield DerivationStep("T1d", f"{text} -> {value} as T -> oo", arrow, verdict, message)


def _escaped(text: str) -> str:
    """Text for LaTeX's text mode."""
    special = {
        "\\": r"\textbackslash{}",
        "_": r"\_",
        "^": r"\^{}",
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\~{}",
    }
    return "".join(special.get(character, character) for character in text)
