"""The references: against exact rationals, against each other, and what they add up to."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import nn

from pkverify.arithmetic.ball import Ball, BallAlgebra, complex_ball, midpoint, radius, real, working_precision
from pkverify.arithmetic.ball_functions import integral
from pkverify.testing.conform.certified import certified_reference
from pkverify.testing.conform.larger import larger_task
from pkverify.testing.conform.reference import QUANTITIES, _mean_gradients, change, rational_reference, reference
from pkverify.testing.conform.spec import Spec, task_of
from pkverify.testing.conform.task import CONVOLUTION, FEATURES, LOSSES, MEAN, MINIBATCHES, MOMENTUM
from tests.testing.conform_cases import LINEAR, ONE

STEPPED = replace(LINEAR, batches=((0, 2), (1,), (2, 1)), mean=True, momentum=ONE / 2)
SHORT = (ONE / 2, ONE / 3)
TANH = Spec(
    "cross-entropy",
    (1, 2, 2),
    True,
    tuple(Fraction(k, 5) for k in (3, -2, 4, 1, -4, 2, 3, -1, 2, -3)),
    ((ONE,), (-ONE / 2,), (ONE * 2,)),
    ((ONE,), (ONE * 0,), (ONE,)),
    ((ONE / 2,),),
    ((ONE,),),
    SHORT,
)
RUNS = [(), (MINIBATCHES,), (MINIBATCHES, MEAN, MOMENTUM), (CONVOLUTION,)]


# Runs are what torch's own optimiser makes of them.


@pytest.mark.parametrize("features", [*RUNS, FEATURES], ids=lambda f: ", ".join(f) or "plain")
def test_runs_are_those_of_the_optimiser(features: tuple[str, ...]) -> None:
    task = larger_task("squared", features=features)
    model = task.fresh().model
    model.load_state_dict(task.checkpoints[0])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=task.momentum)
    loss = nn.MSELoss(reduction="sum")
    for step, rate in enumerate(task.rates):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        chosen = list(task.batch(step))
        (loss(model(task.x[chosen]), task.y[chosen]) / (len(chosen) if MEAN in features else 1)).backward()
        optimizer.step()

        for name, weight in model.state_dict().items():
            assert float((weight - task.checkpoints[step + 1][name]).abs().max()) < 1e-13


# The references themselves.


@pytest.mark.parametrize("spec", [LINEAR, STEPPED], ids=["all examples", "minibatches, momentum"])
@pytest.mark.parametrize("name", QUANTITIES)
def test_both_references_are_the_exact_rational_one(name: str, spec: Spec) -> None:
    exact = [[float(value) for value in row] for row in rational_reference(spec, QUANTITIES[name])]
    task = task_of(spec)
    certified = certified_reference(task, QUANTITIES[name])

    assert certified is not None
    assert certified.radius < 1e-15
    for found in (reference(task, QUANTITIES[name]), certified.values):
        assert float((found - torch.tensor(exact, dtype=torch.float64)).abs().max()) < 1e-13


@pytest.mark.parametrize("features", RUNS[:3], ids=lambda f: ", ".join(f) or "plain")
@pytest.mark.parametrize("kind", LOSSES)
def test_the_balls_hold_what_autograd_finds(kind: str, features: tuple[str, ...]) -> None:
    task = larger_task(kind, features=features)
    for name in ("left-endpoint", "path-kernel", "exact-loss"):
        found, certified = reference(task, QUANTITIES[name]), certified_reference(task, QUANTITIES[name])

        assert certified is not None
        assert certified.radius < 1e-14
        assert float((found - certified.values).abs().max()) <= certified.radius + 1e-13 * float(found.abs().max())


def test_the_balls_are_of_the_parameters_that_are_named() -> None:
    task = task_of(TANH)
    for params in (("2.*",), ("0.weight",), ("*.bias",)):
        certified = certified_reference(task, QUANTITIES["exact-loss"], params)

        assert certified is not None
        assert float((certified.values - reference(task, QUANTITIES["exact-loss"], params)).abs().max()) < 1e-14


def test_the_mean_along_a_step_is_the_integral_that_flint_encloses() -> None:
    # v tanh(w x), one example, one step: the mean of its gradient along the step, in closed form but for the integral.
    weights = (ONE / 2, ONE)
    spec = Spec("squared", (1, 1, 1), False, weights, ((ONE,),), ((-ONE,),), ((ONE * 2,),), ((ONE,),), (ONE / 4,))
    task = task_of(spec)
    (w0, v0), (w1, v1) = ([Fraction(p.item()) for p in point.values()] for point in task.checkpoints)
    (z,) = spec.x_query[0]

    def at(t: Ball) -> tuple[Ball, Ball]:
        return complex_ball(w0) + complex_ball(w1 - w0) * t, complex_ball(v0) + complex_ball(v1 - v0) * t

    def in_w(t: Ball) -> Ball:
        w, v = at(t)
        bent = BallAlgebra(is_complex=True).call("tanh", w * complex_ball(z))
        return v * complex_ball(z) * (1 - bent * bent)

    def in_v(t: Ball) -> Ball:
        w, _ = at(t)
        return BallAlgebra(is_complex=True).call("tanh", w * complex_ball(z))

    with working_precision(128):
        means = [integral(f, Fraction(0), Fraction(1)) for f in (in_w, in_v)]
        bent = BallAlgebra().call("tanh", real(w0))
        pull = 2 * (real(v0) * bent + 1)
        wanted = -real(Fraction(1, 4)) * pull * (means[0] * real(v0) * (1 - bent * bent) + means[1] * bent)
        middle, wide = midpoint(wanted), radius(wanted)
    certified = certified_reference(task, QUANTITIES["exact-output"])

    assert certified is not None
    assert wide < Fraction(1, 10**25)
    assert abs(Fraction(certified.values.item()) - middle) <= Fraction(certified.radius)


def test_a_ball_leaves_other_weights_out() -> None:
    task = task_of(TANH)
    moved = {name: w + 1e-12 for name, w in task.checkpoints[1].items()}
    other = replace(task, checkpoints=(task.checkpoints[0], moved, task.checkpoints[2]))
    for name in QUANTITIES:
        one, two = (certified_reference(t, QUANTITIES[name]) for t in (task, other))

        assert one is not None
        assert two is not None
        assert float((one.values - two.values).abs().max()) > 10 * (one.radius + two.radius)


def test_there_are_no_balls_for_other_networks_and_losses() -> None:
    quantity = QUANTITIES["left-endpoint"]

    assert certified_reference(larger_task("squared", features=(CONVOLUTION,)), quantity) is None
    assert certified_reference(replace(task_of(TANH), rescaled=True), quantity) is None


def test_a_step_past_the_poles_of_tanh_has_no_ball_and_a_resolved_float64_reference() -> None:
    # From w = -40 to w = 40: tanh turns within a fortieth of the way.
    task = task_of(replace(TANH, rates=SHORT[:1]))
    far = {name: torch.full_like(w, 40.0) for name, w in task.checkpoints[1].items()}
    jump = replace(task, checkpoints=({name: -w for name, w in far.items()}, far))
    quantity = QUANTITIES["exact-output"]

    assert certified_reference(jump, quantity) is None
    # The direction of this step is not the gradient, so nothing adds up; the mean gradient along the way does.
    along = _mean_gradients(jump, "output", 0)[0, 0]
    total = along @ torch.cat([(far[name] - jump.checkpoints[0][name]).flatten() for name in far])
    assert float(total - change(jump, quantity)[0]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("features", [(), FEATURES[:3], FEATURES], ids=lambda f: ", ".join(f) or "plain")
@pytest.mark.parametrize(("name", "kind"), [("exact-loss", "cross-entropy"), ("exact-output", "squared")])
def test_exact_references_add_up(features: tuple[str, ...], name: str, kind: str) -> None:
    task, quantity = larger_task(kind, features=features), QUANTITIES[name]

    assert float((reference(task, quantity).sum(1) - change(task, quantity)).abs().max()) < 1e-12


@pytest.mark.parametrize("features", [(), FEATURES[:3]], ids=["plain", "minibatches, momentum"])
def test_left_endpoint_sums_do_not_add_up(features: tuple[str, ...]) -> None:
    task, quantity = larger_task("squared", features=features), QUANTITIES["left-endpoint"]
    missed = reference(task, quantity).sum(1) + change(task, quantity)

    assert float(missed.norm() / change(task, quantity).norm()) > 0.01


def test_quantities_are_different_numbers() -> None:
    task = larger_task("squared")
    found = [reference(task, quantity) for quantity in QUANTITIES.values()]

    for i, one in enumerate(found):
        for two in found[:i]:
            assert float((one - two).norm()) > 1e-2 * float(one.norm())
