"""Every check on small problems: what holds, what does not apply and why, and what stays open."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cache

import pytest

from pkverify.checks.run import check, check_problem
from pkverify.checks.table import PROBLEM_CHECKS
from pkverify.evidence import Evidence, ProblemRun, Run, Verdict
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem

HOLDS, OUTSIDE = Verdict.SUPPORTED, Verdict.NOT_APPLICABLE

_W, _UV = 'params = ["w"], inputs = ["x"]', 'params = ["u", "v"], inputs = ["x"]'
# -e/2, to 60 digits: there the path kernel of CE-A vanishes.
_HALF_E = "-1.35914091422952261768014373567633124887862354684997978748348"


def problem(model: str, data: str, flow_: str, loss: str = 'kind = "squared"', more: str = "") -> Problem:
    return parse_problem(
        f"model = {{{model}}}\nloss = {{{loss}}}\ndata = {{{data}}}\nflow = {{{flow_}}}\n{more}", name="problem"
    )


def formula(output: str, params: str = _W) -> str:
    return f'kind = "expression", {params}, output = {output if output.startswith("[") else repr(output)}'


def ce_a(query: str) -> Problem:
    """The counterexample CE-A: w + x w^2, trained at x = 0 towards 1."""
    return problem(
        formula("w + x*w**2"), 'x = ["0"], y = ["1"]', "initial = [0], horizon = 1", more=f"query.x = [{query!r}]"
    )


SHIFTED = 'initial = ["1/3"], horizon = 1'
LINE = 'kind = "linear", bias = false'
PROBLEMS: Mapping[str, Problem] = {
    "line": problem(LINE, "x = [1, 2], y = [1, 3]", "initial = [0], horizon = 1", more='query.x = ["3/2"]'),
    "ridge": problem(
        LINE, "x = [1, 2], y = [1, 3]", "initial = [1], horizon = 1",
        more='regularizer = {kind = "l2", strength = "1/2"}\nquery.x = ["3/2"]',
    ),
    "mean": problem(
        LINE, "x = [1, 2], y = [1, 3]", "initial = [0], horizon = 1", 'kind = "squared", reduction = "mean"'
    ),
    "quadratic": problem(formula("w*x + w**2*x**2/2"), "x = [1], y = [2]", 'initial = ["1/2"], horizon = 1'),
    "logistic": problem(LINE, "x = [1, -2], y = [1, 0]", "initial = [0], horizon = 1", 'kind = "logistic"'),
    "probability": problem(
        formula("sigmoid(w*x)"), "x = [1]", "initial = [0], horizon = 2", 'kind = "nll-probability"'
    ),
    "log-probability": problem(
        formula("-softplus(-w*x)"), "x = [1, -1]", SHIFTED, 'kind = "nll-log-probability"'
    ),
    "mean log-probability": problem(
        formula("-softplus(-w*x)"), "x = [1, -1]", SHIFTED,
        'kind = "nll-log-probability", reduction = "mean"',
    ),
    "vector": problem(
        formula('["u*x + v", "u*v*x"]', _UV), 'x = [1, "-1/2"], y = [[1, 0], [0, 1]]',
        'initial = ["1/2", "1/5"], horizon = 1',
    ),
    "softmax": problem(
        'kind = "linear", bias = true', "x = [1, -1], y = [[1, 0], [0, 1]]", "initial = [0, 0, 0, 0], horizon = 1",
        'kind = "softmax-cross-entropy"',
    ),
    "K = 0": problem(LINE, "x = [[1, 0], [0, 1]], y = [1, 2]", "initial = [0, 0], horizon = 1"),
    "no K at all": problem(formula("x + 0*w"), "x = [1], y = [0]", "initial = [1], horizon = 1"),
    "H4 fails": ce_a("-27/20"),
    "H3 fails": ce_a(_HALF_E),
    "constant gradient": problem(
        formula("w*x"), "x = [1, 2]", "initial = [0], horizon = 1", 'kind = "nll-log-probability"'
    ),
    "kink": problem(
        formula("relu(w*x - 1)"), "x = [1, 2], y = [0, 0]", 'initial = ["6/5"], horizon = 1', more="query.x = [3]"
    ),
    "at rest": problem(LINE, "x = [1], y = [0]", "initial = [0], horizon = 1"),
    "two rows alike": problem(LINE, "x = [1, 1], y = [1, 3]", "initial = [0], horizon = 1", more="query.x = [1, 1, 2]"),
}  # fmt: skip

ALWAYS = {"T1": HOLDS, "T1a": HOLDS, "T1b": HOLDS, "T1g": HOLDS, "D6b": HOLDS, "D7": HOLDS, "D8": HOLDS}
SCALAR = ALWAYS | {"T1c": HOLDS, "T1k": OUTSIDE, "SE": OUTSIDE, "R3d": OUTSIDE}
# Problem, and where its verdicts are others than those of an ordinary problem with one output and several examples.
EXPECTED: dict[str, dict[str, Verdict]] = {
    "line": {},
    "ridge": {},
    "mean": {},
    "quadratic": {"SE": HOLDS},
    "logistic": {},
    "probability": {"SE": HOLDS},
    "log-probability": {"R3d": Verdict.PROVED},
    "mean log-probability": {},
    "vector": {"T1k": HOLDS, "T1c": OUTSIDE},
    "softmax": {"T1k": HOLDS, "T1c": OUTSIDE},
    "K = 0": {},
    "no K at all": {"T1c": OUTSIDE},
    "H4 fails": {"T1c": OUTSIDE, "SE": HOLDS},
    "H3 fails": {"T1a": OUTSIDE, "T1c": OUTSIDE, "SE": HOLDS},
    "constant gradient": {"R3d": Verdict.PROVED},
    "kink": {"T1b": OUTSIDE},
    "at rest": {},
    "two rows alike": {},
}


@cache
def checked(name: str) -> ProblemRun:
    return check_problem(name, PROBLEMS[name], digits=20, routes=("precise",))


def evidence(name: str, claim: str) -> Evidence:
    (found,) = [item for item in checked(name).evidence if item.claim == claim]
    return found


@pytest.mark.parametrize("name", PROBLEMS)
def test_verdicts(name: str) -> None:
    assert checked(name).verdicts == SCALAR | EXPECTED[name]
    assert list(checked(name).verdicts) == list(PROBLEM_CHECKS)
    assert Run((checked(name),)).verdict is HOLDS


@pytest.mark.parametrize("name", PROBLEMS)
def test_evidence_says_what_it_rests_on(name: str) -> None:
    for item in checked(name).evidence:
        if item.verdict.holds:
            assert item.route == "precise"
            assert item.tolerance
        if item.verdict.holds and item.claim not in {"D7", "T1g"}:
            assert {"H0", "H2"} <= {h.id for h in item.hypotheses}
            assert item.residual or item.claim == "T1c"
    assert "second route within" in evidence(name, "T1").message


# Hypotheses.


def test_a_kernel_of_both_signs_leaves_no_average() -> None:
    item = evidence("H4 fails", "T1c")

    assert "both signs" in item.message
    assert [h.id for h in item.hypotheses] == ["H4"]
    # The weight exists, and is far outside the range of -L' (CE-A).
    [weight] = checked("H4 fails").decompositions[0].weights
    assert str(weight).startswith("13.78221")


@pytest.mark.parametrize(("query", "weight"), [("-13/10", "2.58934260595622537"), ("-7/5", "-2.41875273576456867")])
def test_weights_of_the_counterexample(query: str, weight: str) -> None:
    run = check_problem("CE-A", ce_a(query), digits=20, routes=("precise",), claims=frozenset({"T1a", "T1c"}))
    [found] = run.decompositions[0].weights

    assert str(found).startswith(weight)
    assert run.verdicts == {"T1a": HOLDS, "T1c": OUTSIDE}


def test_a_kernel_that_is_not_separated_from_0_has_no_weight() -> None:
    item = evidence("H3 fails", "T1a")
    (decomposition,) = checked("H3 fails").decompositions

    assert item.message.startswith("H3 is not met")
    assert [h.id for h in item.hypotheses] == ["H3"]
    assert decomposition.weights == (None,)
    assert decomposition.weights_absent[0].startswith("K is not separated from 0")
    # y_T - b does not vanish with K (CE-A): no weight would serve.
    assert decomposition.contributions[0].startswith("0.08903992401331")


def test_a_kernel_that_is_0_exactly_leaves_the_weight_free() -> None:
    first, second = checked("K = 0").decompositions

    assert first.weights[1] is None
    assert second.weights[0] is None
    assert first.weights_absent[1].startswith("K = 0 exactly")
    assert first.contributions[1] == first.path_kernel[1] == "0"
    assert "2 of 4 path kernels are separated from 0, 2 vanish exactly" in evidence("K = 0", "T1a").message


def test_a_kink_is_named() -> None:
    assert "H1 fails" in evidence("kink", "T1b").message
    assert "kink(s) on the path" in evidence("kink", "T1").hypotheses[0].message
    # It is crossed, and not only touched: the second example's loss derivative is 0 in the end.
    assert checked("kink").series["loss_derivatives"][-1][0] == "0.0"
    assert float(checked("kink").series["loss_derivatives"][0][0]) > 0


# Single checks.


def test_every_weight_is_1_for_log_probabilities() -> None:
    item = evidence("log-probability", "R3d")

    assert item.method == "exact"
    for decomposition in checked("log-probability").decompositions:
        assert decomposition.contributions == decomposition.path_kernel
        assert {Fraction(str(weight)) for weight in decomposition.weights} == {1}


def test_the_single_example_law_gives_a_known_number() -> None:
    # y = p, cross-entropy, one example, p_0 = 1/2: K = (p_T^2 - p_0^2) / 2, from the integral of p (T1d).
    (decomposition,) = checked("probability").decompositions
    start, end = Fraction(decomposition.initial_output), Fraction(decomposition.final_output)

    assert start == Fraction(1, 2)
    assert abs(Fraction(str(decomposition.path_kernel[0])) - (end**2 - start**2) / 2) < Fraction(1, 10**18)


@pytest.mark.parametrize(
    ("name", "why"),
    [("line", "one example"), ("ridge", "regulariser"), ("vector", "one output"), ("at rest", "does not move")],
)
def test_the_single_example_law_needs_its_conditions(name: str, why: str) -> None:
    assert why in evidence(name, "SE").message


def test_descent_is_exact_where_the_gradient_is_constant() -> None:
    assert evidence("constant gradient", "T1b").message == "descent reproduces the flow at every learning rate tried"
    assert "observed order 1.0" in evidence("line", "T1b").message


def test_vector_outputs_have_rows() -> None:
    for decomposition in checked("vector").decompositions:
        assert [len(row) for row in decomposition.path_kernel] == [2, 2]
    assert [item.output for item in checked("vector").decompositions] == [0, 1, 0, 1]
    assert "2 x 2" in evidence("vector", "T1k").message


def test_helper_queries_stay_out_of_the_decompositions() -> None:
    assert [item.query for item in checked("line").decompositions] == [(Fraction(3, 2),)]
    assert "2 x 2 Gram matrix" in evidence("line", "D6b").message
    assert [item.query[0] for item in checked("two rows alike").decompositions] == [1, 1, 2]


def test_only_the_claims_that_are_asked_for() -> None:
    run = check([("line", PROBLEMS["line"])], digits=15, routes=["precise"], claims=["D7", "T1"])

    assert [item.claim for item in run.problems[0].evidence] == ["T1", "D7"]
