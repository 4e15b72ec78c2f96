"""Each bound against functions known by hand, and against itself with a part taken away."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from pkverify.arithmetic.ball import dyadic, endpoints, real, working_precision
from pkverify.arithmetic.ball_functions import gauss_rule
from pkverify.arithmetic.ball_series import integrals_of_products, series, series_precision
from pkverify.certified import bounds
from pkverify.certified.integrals import node_count
from pkverify.certified.replay import Replay
from pkverify.certified.system import has_convex_data, make_system
from pkverify.graph import Graph, compile_problem
from pkverify.problem_file import parse_problem


def missing_from_integral(order: int) -> tuple[Fraction, Fraction]:
    """What the cut series of 1/(2 - tau), squared, miss of the integral 1/2 over [0, 1]; and the bound of it."""
    with series_precision(200, order + 1):
        factor = 1 / series([real(2), real(-1)], order + 1)
        [[value]] = integrals_of_products([[factor]], [[factor]])
        tail = bounds.cauchy_tail(Fraction(3, 2), order)
        bound = 4 * bounds.series_part(tail)  # 1/(2 - tau) is at most 2 on the disc
        return Fraction(1, 2) - endpoints(value)[1], endpoints(bound)[1]


@pytest.mark.parametrize("order", [2, 5, 20, 60])
def test_integrals_of_cut_series_are_within_the_tail(order: int) -> None:
    missing, bound = missing_from_integral(order)

    assert 0 < missing <= bound < 3000 * missing * (Fraction(4, 3) ** order)


def test_without_the_tail_an_integral_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "series_part", lambda _: real(0))

    missing, bound = missing_from_integral(5)

    assert missing > bound


def missing_from_sum(count: int) -> tuple[Fraction, Fraction]:
    """How far Gauss's sum of 1/(2 - tau) is from the integral over [0, 1], log 2; and the bound of it."""
    with working_precision(200):
        found = sum((weight / (2 - node) for node, weight in gauss_rule(count, 200)), real(0))
        bound = 2 * bounds.quadrature_tail(Fraction(3, 2), count)  # 1/(2 - tau) is at most 2 on the disc
        return endpoints(abs(real(2).log() - found))[0], endpoints(bound)[1]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 20])
def test_sums_over_nodes_are_within_their_tail(count: int) -> None:
    missing, bound = missing_from_sum(count)

    # The ellipse through 2 has the half-axes' sum 3 + sqrt(8), the one within the disc only 2 + sqrt(3).
    assert 0 < missing <= bound < 100 * missing * (Fraction(34, 14) + Fraction(1, 10)) ** count


def test_without_its_tail_a_sum_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "quadrature_tail", lambda *_: real(0))

    missing, bound = missing_from_sum(3)

    assert missing > bound


@pytest.mark.parametrize("disc", [Fraction(13, 10), Fraction(2), Fraction(64)])
@pytest.mark.parametrize("bits", [-5.0, 30.0, 103.5, 700.0])
def test_nodes_are_enough_and_not_many_more(disc: Fraction, bits: float) -> None:
    count = node_count(disc, bits)

    with working_precision(64):
        assert float(bounds.quadrature_tail(disc, count)) <= 1.4 * 2**-bits
        assert count == 1 or float(bounds.quadrature_tail(disc, count - 1)) > 2**-bits


@pytest.mark.parametrize("distance", [Fraction(1, 50), Fraction(1, 10**6)])
def test_products_move_no_farther_than_allowed(monkeypatch: pytest.MonkeyPatch, distance: Fraction) -> None:
    with working_precision(100):
        # A = B = exp(w) at w = distance instead of 0; |exp| <= exp(1/8) on the neighbourhood of width 1/8.
        moved = (2 * real(distance)).exp() - 1
        allowed = real(Fraction(1, 4)).exp() * bounds.lipschitz_part(real(distance), real(Fraction(1, 8) - distance))
        assert moved < allowed

        monkeypatch.setattr(bounds, "lipschitz_part", lambda *_: real(0))
        assert not moved < bounds.lipschitz_part(real(distance), real(Fraction(1, 8) - distance))


@pytest.mark.parametrize("seed", range(10))
def test_boxes_contain_the_path(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - random data, no secrets
    with working_precision(100):
        p = [dyadic(rng.randint(-99, 99), -6) for _ in range(6)]
        [disc] = bounds.disc_box([p], Fraction(3))
        [near] = bounds.path_neighbourhood([p], Fraction(1, 8))
        [middle] = bounds.path_boxes([p], Fraction(1, 4), Fraction(1, 2), real(Fraction(1, 100)))
        for k in range(30):
            tau = Fraction(k, 29)
            angle = 2 * real(tau) * real(3).pi()
            z = type(disc)(3 * angle.cos(), 3 * angle.sin())
            value = type(disc)(0)
            for c in reversed(p):
                value = value * z + c
            assert disc.contains(value)
            at = real(0)
            for c in reversed(p):
                at = at * real(tau) + c
            assert near.contains(type(disc)(at, real(Fraction(1, 9))))
            if Fraction(1, 4) <= tau <= Fraction(1, 2):
                assert middle.contains(at + real(Fraction(1, 101)))


@pytest.mark.parametrize(
    ("error", "defect", "length", "log_norm"),
    [(1, 0, 1, 1), (1, 1, 2, 1), (1, 1, 2, -1), (0, 1, 2, 0), (1, 2, 1, -30), (0, 1, 10, -5)],
)
def test_errors_grow_as_the_worst_linear_flow(error: int, defect: int, length: int, log_norm: int) -> None:
    with working_precision(100):
        over, end = bounds.propagated_error(*map(real, (error, defect, length, log_norm)))
        growth = real(log_norm * length).exp()
        worst = error * growth + defect * ((growth - 1) / log_norm if log_norm else real(length))

        assert not worst > end
        assert not worst > over
        assert not real(error) > over
        assert bool(end < worst * (1 + log_norm * length if log_norm > 0 else 1.001))


CONVEX = """
model = {MODEL}
loss = {LOSS}
data = {x = [["1"], ["-2"]], y = ["1", "0"]}
flow = {initial = ["0", "0"], horizon = "1"}
"""
LINE = 'kind = "linear", bias = true'


def convex(loss: str, model: str = LINE) -> str:
    return CONVEX.replace("MODEL", model).replace("LOSS", loss)


def formula(output: str) -> str:
    return f'kind = "expression", params = ["a", "b"], inputs = ["x"], output = "{output}"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (convex('kind = "squared"'), True),
        (convex('kind = "logistic"'), True),
        (convex('kind = "squared"', formula("a + b*sin(x)")), True),
        (convex('kind = "expression", value = "(y - target)**2"'), False),
        (convex('kind = "expression", value = "-(y - target)**2"'), False),
        (convex('kind = "squared"', 'kind = "deep-linear", layers = [1, 1, 1]'), False),
        (convex('kind = "squared"', formula("a*b*x")), False),
        (convex('kind = "logistic"', formula("a + b**2")), False),
    ],
)
def test_convexity_is_read_off_the_form(text: str, expected: bool) -> None:
    problem = parse_problem(text)

    assert has_convex_data(problem, compile_problem(problem)) is expected


def test_penalties_keep_their_part_of_a_convex_hessian() -> None:
    concave = convex('kind = "logistic"') + '\nregularizer = {value = "-b_1**2 + w_1_1**2"}'
    with working_precision(100):
        system = make_system(parse_problem(concave), [])
        [norm] = bounds.log_norm_bounds(system.hessian, [[real(0)], [real(0)]], real(Fraction(1, 100)), 1)

    assert 2 <= float(norm) < 2.001


def test_a_row_drops_what_its_zeros_switch_off() -> None:
    graph = Graph()
    w, x = graph.leaf("param", 0), graph.leaf("input", 0)
    node = graph.call("log", graph.add([graph.multiply(w, x), graph.number(Fraction(1))]))

    [value] = Replay(graph, [node], {("input", 0): Fraction(0)}).evaluate([real(-5)])

    assert value == 0
