"""The counterexamples CE-A to CE-E and CE-V, with their data, for all audits that rest on them."""

from __future__ import annotations

from fractions import Fraction

from pkverify.arithmetic.ball import BallAlgebra, midpoint, real, working_precision
from pkverify.checks.certify import proved_zero
from pkverify.checks.paper.demonstrated import Shown, setting, shown
from pkverify.checks.paper.finding import Witness
from pkverify.exact.paper_demonstration import Demonstration
from pkverify.exact.paper_descent import (
    Ridge,
    Ripple,
    SquareRoot,
    descent_is_trapped,
    limit_does_not_exist,
    ridge_is_left,
)
from pkverify.exact.paper_theorem import (
    BentLine,
    Exponential,
    TwoOutputs,
    singular_matrix_kernel,
    vanishing_path_kernel,
    weight_out_of_range,
    weights_of_exponential,
)
from pkverify.problem_file import parse_problem

BENT_LINE = BentLine()
RIPPLE = Ripple()
SQUARE_ROOT = SquareRoot()
RIDGE = Ridge()
EXPONENTIAL = Exponential()
TWO_OUTPUTS = TwoOutputs()

_BITS, _DIGITS, _NEAR = 128, 20, Fraction(1, 10**15)
_BENT = "f = w + x w^2, one example (0, 1), half the squared loss, w_0 = 0, T = 1: w = 1 - e^-t"


def ce_a_zero(data: BentLine = BENT_LINE) -> Shown:
    """CE-A at the query where the path kernel is 0: by its closed form, and once more in balls."""
    exact = vanishing_path_kernel(data)
    proved = _zero_in_balls(data)
    return shown(
        Witness(
            "CE-A",
            "the path kernel is 0 while the output moves: no finite a_1 serves",
            "H3",
            setting(f"{_BENT}, x = -e/2", data, BENT_LINE),
            (),
            "ce-a",
        ),
        Demonstration(
            (*exact.facts, ("balls enclose a zero of K at which the output moves", proved is not None)),
            (*exact.values, ("proved in balls", proved or "nothing")),
        ),
    )


def _zero_in_balls(data: BentLine) -> str | None:
    """What the certified route proves of the path kernel close to the query; it knows no closed form."""
    problem = parse_problem(f"""
    model = {{kind = "expression", params = ["w"], inputs = ["x"], output = "w + ({data.curvature})*x*w**2"}}
    loss = {{kind = "squared"}}
    data = {{x = ["{data.example}"], y = ["{data.target}"]}}
    flow = {{initial = ["{data.start}"], horizon = "{data.horizon}"}}
    """)
    with working_precision(_BITS):
        query = data.query_over_e * midpoint(BallAlgebra().call("exp", real(1)))
    return proved_zero(problem, 0, (query - _NEAR,), (query + _NEAR,), _DIGITS)


def ce_a_range(data: BentLine = BENT_LINE) -> Shown:
    """CE-A at a query where the weight is no average."""
    return shown(
        Witness("CE-A", "the weight lies outside the range of -L'", "H4", setting(_BENT, data, BENT_LINE), (), "ce-a"),
        weight_out_of_range(data),
    )


def ce_b(data: Ripple = RIPPLE) -> Shown:
    """CE-B: differentiable, not C^1."""
    return shown(
        Witness(
            "CE-B",
            "descent has a limit, and it is not what the formula gives on the limit path",
            "H1 (f is differentiable, not C^1)",
            setting("f = w^2 sin(1/w) + w/2, f(0) = 0, loss y, w_0 = 0, T = 1", data, RIPPLE),
            (),
        ),
        descent_is_trapped(data),
    )


def ce_c(data: SquareRoot = SQUARE_ROOT) -> Shown:
    """CE-C: C^1, not Lipschitz."""
    return shown(
        Witness(
            "CE-C",
            "the limit of descent as eps -> 0 does not exist",
            "H1 (the gradient is not Lipschitz)",
            setting("f = w, loss with l'(y) = -sqrt|y|, w_0 = -1, T = 3", data, SQUARE_ROOT),
            (),
        ),
        limit_does_not_exist(data),
    )


def ce_d(data: Ridge = RIDGE) -> Shown:
    """CE-D: the flow ends in a saddle, descent in a minimum."""
    return shown(
        Witness(
            "CE-D",
            "trained to the end, descent tends to another model than the flow, however small eps is",
            "H5",
            setting(
                "y = L = r^2 (r - 2)^2/4 + 1 - cos(theta), polar coordinates of the plane, from r = 1, theta = 1",
                data,
                RIDGE,
            ),
            (),
        ),
        ridge_is_left(data),
    )


def ce_e(data: Exponential = EXPONENTIAL) -> Shown:
    """CE-E: the weight depends on the query."""
    return shown(
        Witness(
            "CE-E",
            "the weight depends on the query",
            "constant weights",
            setting(
                "f = exp(w x), one example (1, 2), half the squared loss, w_0 = 0, until y_1 = 3/2", data, EXPONENTIAL
            ),
            (),
            "ce-e",
        ),
        weights_of_exponential(data),
    )


def ce_v(data: TwoOutputs = TWO_OUTPUTS) -> Shown:
    """CE-V: two outputs, and a matrix that cannot be inverted."""
    return shown(
        Witness(
            "CE-V",
            "the integrated matrix kernel is singular, and int J J^T grad l is not in its range",
            "H3 for matrices",
            setting(
                "outputs (w_1, w_2 + x w_2^2), one example at 0 with targets (1, 1), half the "
                "squared loss, w_0 = 0, T = 1, x = -e/2",
                data,
                TWO_OUTPUTS,
            ),
            (),
            "ce-v",
        ),
        singular_matrix_kernel(data),
    )
