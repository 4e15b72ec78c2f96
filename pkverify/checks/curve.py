"""The weights a_i(x) over the inputs of a model of one input: kernel, contribution, and where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np

from pkverify.arithmetic.quadrature import gauss_legendre
from pkverify.checks.arrays import Array, ArrayAlgebra
from pkverify.checks.context import Context
from pkverify.checks.paper.algebras import gradients
from pkverify.precise.solution import gradient_at

_PLACES = 161
_REACH = 1.0  # beyond the known inputs, in parts of their spread
_NODES = 8  # of the quadrature, for each step of the path
_BISECTIONS = 40
_VANISHING = 1e-9  # a contribution below this part of the largest vanishes with the kernel, and leaves no pole


def weight_curves(context: Context, examples: Sequence[int]) -> dict[str, Array]:
    """The tables ``weight_*`` of one problem, as arrays.

    Args:
        context: A problem with one input and one output.
        examples: The examples whose weights are shown, from 0.

    Returns:
        The arrays by name; see ``series``.

    Raises:
        OverflowError: If the path leaves the range of doubles.
    """
    problem = context.problem
    known = [float(x) for (x,) in (*problem.data.inputs, *problem.query_inputs)]
    reach = _REACH * max(max(known) - min(known), 1.0)
    inputs = np.linspace(min(known) - reach, max(known) + reach, _PLACES)
    along = _Path(context, examples)
    kernels, terms = along.integrals(inputs)
    poles = [
        (example + 1, x) for place, example in enumerate(examples) for x in _poles(along, place, inputs, kernels, terms)
    ]
    return {
        "weight_inputs": inputs[:, None],
        "weight_examples": np.array([[i + 1 for i in examples]]),
        "weight_kernel": kernels,
        "weight_terms": terms,
        "weight_range": np.stack([(-along.slopes).min(axis=1), (-along.slopes).max(axis=1)], axis=1),
        "weight_poles": np.array(poles).reshape(-1, 2),
    }


class _Path:
    """The path at the nodes of a quadrature, in doubles: parameters, gradients and loss derivatives of the examples."""

    def __init__(self, context: Context, examples: Sequence[int]) -> None:
        self.model = context.problem.model
        system, path = context.solution.system, context.solution.path
        exact, to_float = system.numbers.fraction, system.numbers.to_float
        nodes = [
            (segment.start + node * segment.length, float(weight * segment.length))
            for segment in path.segments
            for node, weight in gauss_legendre(_NODES, 17)
        ]
        # The ends count nothing in an integral, and belong to the range of -L'_i.
        nodes += [(Fraction(0), 0.0), (context.problem.horizon, 0.0)]
        states = [path.params_at(time) for time, _ in nodes]
        slopes = [context.loss_derivatives_at(time) for time, _ in nodes]
        self.params = [np.array(column) for column in zip(*([float(exact(v)) for v in s] for s in states), strict=True)]
        self.weights = np.array([weight for _, weight in nodes])
        self.slopes = np.array([[at[i][0] for at in slopes] for i in examples])
        self.gradients = np.array([
            [[to_float(v) for v in gradient_at(system, state, i, system.rows[i].jacobian[0])] for state in states]
            for i in examples
        ])  # fmt: skip

    def integrals(self, inputs: Array) -> tuple[Array, Array]:
        """Path kernel and contribution at each input: [input, example]."""
        columns = gradients(self.model, ArrayAlgebra(), [p[None, :] for p in self.params], [inputs[:, None]])[0]
        tangent = np.zeros((len(self.slopes), len(inputs), len(self.weights)))
        for j, column in enumerate(columns):
            tangent += column * self.gradients[:, None, :, j]
        return (tangent @ self.weights).T, -np.einsum("ixt,it->xi", tangent, self.weights * self.slopes)


def _poles(along: _Path, place: int, inputs: Array, kernels: Array, terms: Array) -> Iterator[float]:
    """Where the path kernel of one example changes its sign over the inputs and its contribution does not vanish."""
    signs = np.sign(kernels[:, place])
    known = np.flatnonzero(signs)  # a zero on the grid lies between its neighbours
    for left, right in pairwise(known):
        if signs[left] == signs[right]:
            continue
        low, high = float(inputs[left]), float(inputs[right])
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            value = float(along.integrals(np.array([middle]))[0][0, place])
            low, high = (middle, high) if value * signs[left] > 0 else (low, middle)
        term = float(along.integrals(np.array([(low + high) / 2]))[1][0, place])
        if abs(term) > _VANISHING * float(np.abs(terms[:, place]).max()):
            yield (low + high) / 2
