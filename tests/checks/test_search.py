from __future__ import annotations

import re
from fractions import Fraction

import pytest

from pkverify.arithmetic.ball import BallAlgebra, endpoints, real, working_precision
from pkverify.checks.scan import lines
from pkverify.checks.search import SEARCHED, search, search_run
from pkverify.errors import InputError, UntreatableError
from pkverify.evidence import Verdict
from pkverify.expression import parse_expression
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from pkverify.report.search import search_text


def problem(
    output: str, x: str, y: str, initial: str, horizon: str, params: str = '"w"', inputs: str = '"x"'
) -> Problem:
    return parse_problem(f"""
    model = {{kind = "expression", params = [{params}], inputs = [{inputs}], output = "{output}"}}
    loss = {{kind = "squared"}}
    data = {{x = {x}, y = {y}}}
    flow = {{initial = {initial}, horizon = "{horizon}"}}
    """)


CE_A = problem("w + x*w**2", "[[0]]", "[1]", "[0]", "1")
CE_STAR = problem("w*x + w**2*x**2/2", "[[1]]", '["-1/2"]', "[0]", "3")
LINEAR = parse_problem("""
model = {kind = "linear", bias = true}
loss = {kind = "squared"}
data = {x = [[1], [2]], y = [1, 3]}
flow = {initial = [0, 0], horizon = 1}
""")
# Both residuals are multiples of exp(-t); at the query the second gradient grows while the first fades.
RIVALS = problem("u*(1 - x) + v*x + x*(1 - x)*(u**2 - v**2)/4", "[[0], [1]]", '["11/10", 1]', "[0, 0]", "2", '"u", "v"')


@pytest.mark.parametrize(
    ("given", "zero", "moved"),
    [
        pytest.param(CE_A, "-exp(1)/2", "(1 - exp(-1)) - exp(1)/2*(1 - exp(-1))**2", id="CE-A"),
        pytest.param(CE_STAR, "1/(1 - log(2))", "(4*log(2) - 3)/(8*(1 - log(2))**2)", id="CE*"),
    ],
)
def test_the_zero_of_the_kernel_is_found_to_twenty_digits(given: Problem, zero: str, moved: str) -> None:
    witness = search(given, "T1a")

    assert witness is not None
    assert abs(witness.query[0] - _number(zero)) < Fraction(1, 10**25)
    assert abs(Fraction(dict(witness.values)["y_T - b"]) - _number(moved)) < Fraction(1, 10**24)
    assert witness.lacks == "H3"


@pytest.mark.parametrize("digits", [10, 50])
def test_digits_are_as_asked(digits: int) -> None:
    witness = search(CE_A, "T1a", digits)

    assert witness is not None
    assert abs(witness.query[0] - _number("-exp(1)/2")) < Fraction(1, 10 ** (digits - 4))


@pytest.mark.parametrize("claim", SEARCHED)
def test_a_linear_model_has_no_counterexample(claim: str) -> None:
    """Its kernels vanish, too, but only where the contribution does."""
    assert search(LINEAR, claim, 20) is None


@pytest.mark.parametrize("given", [CE_A, CE_STAR])
def test_a_weight_outside_the_range_is_confirmed(given: Problem) -> None:
    witness = search(given, "T1c", 20)

    assert witness is not None
    low, high = map(float, dict(witness.values)["range of -L'_1"].strip("[]").split(","))
    assert not low <= float(dict(witness.values)["a_1"]) <= high
    assert witness.lacks == "H4"


def test_a_weight_outside_is_that_of_the_closed_form() -> None:
    witness = search(CE_A, "T1c", 20)

    assert witness is not None
    x = witness.query[0]
    expected = _number(f"((1 - exp(-1)) + ({x})*(1 - exp(-1))**2)/(1 + 2*({x})*exp(-1))")
    assert abs(Fraction(dict(witness.values)["a_1"]) - expected) < Fraction(1, 10**12)


def test_a_smaller_weight_for_a_greater_sensitivity() -> None:
    witness = search(RIVALS, "R1b", 20)

    assert witness is not None
    first, second = witness.examples
    values = dict(witness.values)
    assert (first, second) == (1, 2)
    assert abs(float(values["a_1"])) < abs(float(values["a_2"]))


def test_one_example_has_no_rival() -> None:
    assert search(CE_A, "R1b", 15) is None


def test_several_inputs_are_searched_along_lines() -> None:
    given = problem("w + p*w**2 + 0*q", "[[0, 0], [0, 1]]", "[1, 1]", "[0]", "1", inputs='"p", "q"')
    witness = search(given, "T1a", 20)

    assert len(lines(given)) > 2
    assert witness is not None
    assert witness.query[0] < 0


@pytest.mark.parametrize("claim", ["T1", "P9", "nothing"])
def test_other_claims_are_refused(claim: str) -> None:
    with pytest.raises(InputError, match="no search"):
        search(CE_A, claim)


def test_several_outputs_are_refused() -> None:
    given = parse_problem("""
    model = {kind = "expression", params = ["w"], inputs = ["x"], output = ["w*x", "w"]}
    loss = {kind = "squared"}
    data = {x = [[1]], y = [[1, 2]]}
    flow = {initial = [0], horizon = 1}
    """)
    with pytest.raises(UntreatableError, match="several outputs"):
        search(given, "T1a")


def test_queries_outside_the_domain_are_passed_over() -> None:
    given = problem("w*log(x + 2)", "[[1], [2]]", "[1, 1]", "[0]", "1")

    assert search(given, "T1a", 15) is None


def test_what_is_found_is_certified() -> None:
    searched = search_run([("ce", CE_A), ("line", LINEAR), ("rivals", RIVALS)], ["T1a", "T1c", "R1b"], digits=15)
    found = {(p.name, e.claim): e for p in searched.run().problems for e in p.evidence}

    assert searched.exit_code == 1
    refuted = {("ce", "T1a"), ("ce", "T1c"), ("rivals", "R1b")}
    assert refuted <= {key for key, evidence in found.items() if evidence.verdict is Verdict.REFUTED}
    assert all(found[key].method == "ball" and "proved" in str(found[key].witness) for key in refuted)
    assert {found["line", claim].verdict for claim in SEARCHED} == {Verdict.INCONCLUSIVE}
    assert "line: T1a: no counterexample" in search_text(searched)
    assert "no number serves as a_1" in search_text(searched)


def test_a_certified_zero_contains_that_of_the_closed_form() -> None:
    witness = search(CE_A, "T1a", 15)

    assert witness is not None
    assert witness.is_certified
    [low, high] = [Fraction(v) for v in re.findall(r"(?:x =|0 at) (-[0-9.]+)", dict(witness.values)["proved"])]
    assert low < _number("-exp(1)/2") < high
    assert high - low < Fraction(1, 10**12)


@pytest.mark.parametrize(("prover", "claim"), [("zero", "T1a"), ("outside", "T1c"), ("order", "R1b")])
def test_a_witness_by_estimates_refutes_nothing(monkeypatch: pytest.MonkeyPatch, prover: str, claim: str) -> None:
    def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(f"pkverify.checks.search.proved_{prover}", nothing)
    searched = search_run([("ce", CE_A if claim != "R1b" else RIVALS)], [claim], digits=15)
    [evidence] = [e for p in searched.run().problems for e in p.evidence]

    assert searched.exit_code == 1
    assert evidence.verdict in {Verdict.NOT_APPLICABLE, Verdict.INCONCLUSIVE}
    assert "by estimates" in evidence.message


@pytest.mark.parametrize("kink", ["abs", "relu"])
def test_kinks_leave_a_witness_uncertified(kink: str) -> None:
    """The certified route refuses the path: what was found by estimates stays as it is."""
    witness = search(problem(f"w + x*w**2 + {kink}(w - 1/3)/10", "[[0]]", "[1]", "[0]", "1"), "T1a", 12)

    assert witness is not None
    assert not witness.is_certified


def _number(text: str) -> Fraction:
    with working_precision(300):
        algebra = BallAlgebra()
        low, high = endpoints(parse_expression(text, []).build(algebra, {}) + real(0))
    assert high - low < Fraction(1, 10**70)
    return low
