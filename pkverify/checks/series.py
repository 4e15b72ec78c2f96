"""What the figures of a problem draw, as named tables of numbers: computed with the checks, and saved with the run.

A report reads a saved run and computes nothing, so whatever it can show is here. Every table is a tuple of rows of
text. The path and the numbers along it come from the precise route; the loss around the path, the weights over other
inputs and gradient descent are evaluated along that path in doubles, which is more than a figure can show. A table is
left out where it does not apply, where it would be too large, and where doubles cannot hold it.

Tables, with d parameters, m examples, C outputs and q asked queries; examples are counted from 1:

====================  ===================================================================================
``time``              a row a sample time
``params``            the d parameters at these times
``loss_derivatives``  L'_i at these times, example by example, then output by output
``tangent_kernel``    K_t(x, x_i) at these times, query by query, then example by example (C = 1)
``gram``              K(x_i, x_j), a row an example; with several outputs the sum over K's diagonal
``surface_axes``      the two coordinates of the grid of the loss surface, a row each
``surface_loss``      the total loss on the grid: a row for each value of the second coordinate
``surface_path``      the path in these two coordinates, at the sample times
``surface_marks``     time and the two coordinates of the points where gradients are shown
``surface_examples``  the examples whose gradients are shown
``surface_gradients``  for each mark the gradients of the query and of these examples: two coordinates each
``surface_shares``    parts of the path's motion, and of the gradient least well shown, that lie in the plane
``weight_inputs``     inputs x at which a_i(x) is shown (models of one input and one output)
``weight_examples``   the examples whose a_i is shown
``weight_kernel``     K(x, x_i) at these inputs, for these examples
``weight_terms``      a_i(x) K(x, x_i) there
``weight_range``      for these examples the least and the greatest of -L'_i on the path
``weight_poles``      example and input where K(x, x_i) changes its sign and the contribution does not vanish
``descent``           steps, learning rate, and distance from the flow at the horizon: first prediction, parameters
``digits``            digits asked for, residual of the first prediction, and the error estimate
====================  ===================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from math import isfinite

import numpy as np

from pkverify.checks.arrays import Array, ArrayAlgebra
from pkverify.checks.context import Context
from pkverify.checks.curve import weight_curves
from pkverify.checks.paper.algebras import DualAlgebra
from pkverify.checks.surface import surface
from pkverify.errors import PkverifyError
from pkverify.precise.route import solve_precise
from pkverify.problem import Problem
from pkverify.rational import decimal_text

Table = tuple[tuple[str, ...], ...]

_PAIRS = 400  # pairs of query and example beyond which the tangent kernel is left out
_SIZE = 4000  # examples times parameters beyond which nothing is computed in doubles
_STEPS = (8, 16, 32, 64, 128)
_ROUNDING = 1e-12  # distances from the flow below this are rounding
_FEWEST = 10  # digits: the precise route has as many anyway
_QUICK = 20  # examples times parameters up to which a run at some other number of digits costs little
_DIGITS = 8  # of numbers that only place a point in a figure


def series(context: Context) -> dict[str, Table]:
    """All tables that apply to a problem whose precise solution exists.

    Args:
        context: The problem with its solution.

    Returns:
        The tables by name; see the head of this file.

    Example:
        >>> from pkverify.cases import case_problems
        >>> name, problem = case_problems("linear")[0]
        >>> tables = series(Context(problem, 15))
        >>> len(tables["time"]), [len(row) for row in tables["gram"]]
        (33, [3, 3, 3])
    """
    tables = along_the_path(context)
    if not tables:
        return {}  # what is drawn of a path that doubles cannot hold would mislead
    small = len(context.problem.data) * len(context.problem.model.params) <= _SIZE
    parts: list[Callable[[Context], Mapping[str, Table]]] = [gram, digits]
    parts += [_surface, _weights, descent] if small else []
    for part in parts:
        try:
            with np.errstate(all="ignore"):
                tables |= part(context)
        except (OverflowError, PkverifyError):
            continue  # the figure is left out, and the checks have said what there is to say
    return tables


def along_the_path(context: Context) -> dict[str, Table]:
    """Parameters, loss derivatives and tangent kernels at the sample times; none where doubles cannot hold them."""
    solution = context.solution
    states = [solution.path.params_at(t) for t in context.times]
    exact = solution.system.numbers.fraction
    tables = {
        "time": tuple((decimal_text(t, 17),) for t in context.times),
        "params": tuple(tuple(decimal_text(exact(v), 17) for v in state) for state in states),
    }
    samples: dict[str, list[list[list[float]]]] = {}
    try:
        samples["loss_derivatives"] = context.loss_derivatives
        if len(context.outputs) == 1 and len(context.asked) * len(context.problem.data) <= _PAIRS:
            samples["tangent_kernel"] = context.tangent_kernels
    except OverflowError:
        return {}
    return tables | {n: tuple(tuple(repr(v) for row in at for v in row) for at in s) for n, s in samples.items()}


def gram(context: Context) -> dict[str, Table]:
    """The path kernel between training examples, as far as the solution holds them."""
    known = [(i, q) for i in range(len(context.problem.data)) if (q := context.query_of(i)) is not None]
    if len(known) < 2:
        return {}
    kernels = context.solution.path_kernels
    return {
        "gram": tuple(
            tuple(decimal_text(sum((kernels[q][i][c][c] for c in context.outputs), Fraction(0)), 17) for i, _ in known)
            for _, q in known
        )
    }


def digits(context: Context) -> dict[str, Table]:
    """The residual of the first prediction at several numbers of digits, up to those of the check."""
    problem, most = context.problem, context.digits
    quick = len(problem.data) * len(problem.model.params) <= _QUICK
    fewer = sorted({_FEWEST, (_FEWEST + most) // 2} if quick else {_FEWEST})
    solved = [(rung, solve_precise(problem, rung, problem.query_inputs[:1])) for rung in fewer if rung < most]
    return {
        "digits": tuple(
            (str(rung), decimal_text(abs(solution.residual(0, 0)), 3), decimal_text(solution.error_estimate, 1))
            for rung, solution in (*solved, (most, context.solution))
        )
    }


def _surface(context: Context) -> dict[str, Table]:
    if len(context.outputs) > 1 or len(context.problem.model.params) < 2:
        return {}
    return {name: _numbers(rows) for name, rows in surface(context, leading_examples(context, 2)).items()}


def _weights(context: Context) -> dict[str, Table]:
    if len(context.outputs) > 1 or context.problem.model.input_count > 1:
        return {}
    return {name: _numbers(rows) for name, rows in weight_curves(context, leading_examples(context, 3)).items()}


def descent(context: Context) -> dict[str, Table]:
    """Gradient descent at a fixed horizon, for several learning rates side by side: how far it ends from the flow."""
    problem = context.problem
    if context.solution.path.kinks:
        return {}
    exact = context.solution.system.numbers.fraction
    final = np.array([float(exact(v)) for v in context.solution.path.final])
    steps = np.array(_STEPS)
    rates = float(problem.horizon) / steps
    params = np.repeat([[float(v) for v in problem.initial]], len(steps), axis=0)
    gradient = _total_gradient(problem)
    for step in range(max(_STEPS)):
        params = params - np.where(step < steps, rates, 0.0)[:, None] * gradient(params)
    inputs = [np.float64(float(v)) for v in problem.query_inputs[0]]
    outputs = np.stack([
        np.broadcast_to(output, steps.shape) for output in problem.model.build(ArrayAlgebra(), list(params.T), inputs)
    ])  # fmt: skip
    target = np.array([float(v) for v in context.solution.final_outputs[0]])
    output_errors = np.abs(outputs - target[:, None]).max(axis=0)
    param_errors = np.linalg.norm(params - final, axis=1)
    rows = [
        (int(n), rate, output_error, param_error)
        for n, rate, output_error, param_error in zip(steps, rates, output_errors, param_errors, strict=True)
        if isfinite(output_error) and isfinite(param_error)
    ]
    if len(rows) < 2 or all(max(row[2:]) < _ROUNDING for row in rows):
        return {}  # it leaves the range of doubles, or is exact at every learning rate
    return {"descent": _numbers(rows)}


def leading_examples(context: Context, count: int) -> list[int]:
    """The examples that contribute most to the first prediction, in the order of the data."""
    terms = [sum(map(abs, example)) for example in context.solution.contributions[0]]
    return sorted(sorted(range(len(terms)), key=lambda i: (-terms[i], i))[:count])


def _total_gradient(problem: Problem) -> Callable[[Array], Array]:
    """The gradient of the total loss for several sets of parameters at once: [set, parameter] to the same shape."""
    duals = DualAlgebra(ArrayAlgebra(), len(problem.model.params))
    columns = [[duals.constant(np.array([float(v) for v in c])) for c in zip(*r, strict=True)] for r in (
        problem.data.inputs, problem.data.targets,
    )]  # fmt: skip

    def gradient(params: Array) -> Array:
        unknowns = [duals.param(params[:, j, None], j) for j in range(params.shape[1])]
        loss = problem.loss.build(duals, problem.model.build(duals, unknowns, columns[0]), columns[1])
        shape = (len(params), len(problem.data))
        scale = float(problem.example_scale)
        total = np.stack([scale * np.broadcast_to(s, shape).sum(axis=1) for s in loss.slopes], axis=1)
        if problem.regularizer is None:
            return total
        penalty = problem.regularizer.build(duals, problem.model.params, unknowns)
        return total + np.stack([np.broadcast_to(s, (len(params), 1))[:, 0] for s in penalty.slopes], axis=1)

    return gradient


def _numbers(rows: Iterable[Sequence[float]]) -> Table:
    """Numbers as text; whole ones without a point.

    Raises:
        OverflowError: For a number that is not finite.
    """
    return tuple(tuple(_number(float(value)) for value in row) for row in rows)


def _number(value: float) -> str:
    if not isfinite(value):
        raise OverflowError("a number of a figure is beyond the range of doubles")
    return f"{value:.{_DIGITS}g}"
