"""Drawn training runs: the discrete identity at any learning rate, and what may be changed in a run without harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pkverify.errors import InputError
from pkverify.network.attribution import NetworkDecomposition
from pkverify.network.decompose import decompose
from pkverify.testing.networks import (
    ARCHITECTURES,
    LOSSES,
    OPTIMIZERS,
    Network,
    Recorded,
    TrainingRun,
    networks,
    training_runs,
)

# Rounding of float64 over a few steps, relative to the largest sum of the parts' sizes.
TOLERANCE = 1e-11
QUIET = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large])
SUMS = ("half-square-sum", "logistic-sum", "cross-entropy-sum")
FIXED = TrainingRun(
    Network("mlp", 2, 3, 1, "tanh", bias=True, seed=1),
    x=((1.0, -0.5), (0.25, 2.0), (-1.0, 0.5)),
    y=((1.0,), (-0.5,), (2.0,)),
    loss="half-square-sum",
    optimizer="SGD",
    settings=(("momentum", 0.5), ("weight_decay", 0.125)),
    rates=(0.5, 0.25, 0.125),
    batches=(((0, 1), (2,)), ((1, 1, 2),), ((0,),)),
    queries=((0.5, 0.5), (1.0, -1.0)),
)  # fmt: skip


def split(run: TrainingRun, **options: Any) -> NetworkDecomposition:
    recorded = run.record(**options)
    return decompose(recorded.path, recorded.queries)


def scale(found: NetworkDecomposition) -> Tensor:
    sizes = found.contributions.abs().sum(1) + found.initial_output.abs() + found.regularizer_term.abs()
    return sizes.clamp(min=1.0)


def residual(found: NetworkDecomposition) -> float:
    """The residual made again from the parts, relative to their sizes."""
    parts = found.initial_output + found.contributions.sum(1) + found.regularizer_term + found.initial_momentum_term
    return float(((found.final_output - parts).abs() / scale(found)).max())


def distance(left: Tensor, right: Tensor, found: NetworkDecomposition) -> float:
    return float((left - right).abs().max() / scale(found).max())


# The identity of discrete training (E1, E2, E6).


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_identity_holds_at_any_learning_rate(optimizer: str) -> None:
    @settings(QUIET, max_examples=2)
    @given(training_runs(optimizers=[optimizer], largest_rate=4.0, largest_steps=2))
    def holds(run: TrainingRun) -> None:
        found = split(run)
        assert not found.unconverged
        assert residual(found) < TOLERANCE

    holds()


def test_the_final_output_is_that_of_the_trained_model() -> None:
    recorded = FIXED.record()
    found = decompose(recorded.path, recorded.queries)
    assert torch.allclose(found.final_output, recorded.model(recorded.queries), rtol=0, atol=1e-15)
    assert torch.allclose(found.initial_output, FIXED.network.build()(recorded.queries), rtol=0, atol=1e-15)


MISTAKES: dict[str, Callable[[NetworkDecomposition], NetworkDecomposition]] = {
    "an example left out": lambda d: replace(d, contributions=d.contributions[:, 1:]),
    "a wrong sign": lambda d: replace(d, contributions=-d.contributions),
    "a learning rate off by a thousandth": lambda d: replace(d, contributions=1.001 * d.contributions),
    "weight decay left out": lambda d: replace(d, regularizer_term=0 * d.regularizer_term),
    "another query": lambda d: replace(d, contributions=d.contributions.flip(0)),
    "float32 scores": lambda d: replace(d, contributions=d.contributions.float().double()),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_split_leaves_a_residual(mistake: str) -> None:
    found = split(FIXED)
    assert residual(found) < TOLERANCE
    assert residual(MISTAKES[mistake](found)) > 100 * TOLERANCE


def test_gradients_at_the_old_weights_alone_leave_a_residual() -> None:
    plain = replace(FIXED, settings=(), batches=(((0, 1, 2),),) * 3)
    found = split(plain)
    left = torch.zeros_like(found.initial_output)
    path = plain.record().path
    model = plain.network.build()
    _, _, queries = plain.tensors()
    for k in range(path.step_count):
        torch.nn.utils.vector_to_parameters(path.weights(k), model.parameters())
        before = model(queries)
        move = path.weights(k + 1) - path.weights(k)
        for q in range(len(queries)):
            slope = torch.autograd.grad(before[q, 0], list(model.parameters()), retain_graph=True)
            left[q, 0] += torch.cat([s.reshape(-1) for s in slope]) @ move
    missing = found.final_output - found.initial_output - left
    assert float(missing.abs().max()) > 1e-3
    assert residual(found) < TOLERANCE


# What may be changed: each change with what it does to the contributions [q, m, C].

Change = tuple[TrainingRun, Callable[[Tensor], Tensor]]


def reordered(run: TrainingRun) -> Change:
    """The training set in reverse; the batches name the same examples by their new numbers."""
    last = len(run.x) - 1
    batches = tuple(tuple(tuple(last - i for i in indices) for indices in passes) for passes in run.batches)
    return replace(run, x=run.x[::-1], y=run.y[::-1], batches=batches), lambda c: c.flip(1)


def shuffled_batches(run: TrainingRun) -> Change:
    batches = tuple(tuple(indices[::-1] for indices in passes)[::-1] for passes in run.batches)
    return replace(run, batches=batches), lambda c: c


def batches_split(run: TrainingRun) -> Change:
    """Each example in a backward pass of its own; for losses that are sums the gradient is the same."""
    batches = tuple(tuple((i,) for indices in passes for i in indices) for passes in run.batches)
    return replace(run, batches=batches), lambda c: c


def batches_joined(run: TrainingRun) -> Change:
    batches = tuple((tuple(i for indices in passes for i in indices),) for passes in run.batches)
    return replace(run, batches=batches), lambda c: c


def copied(run: TrainingRun) -> Change:
    """Where the first example is twice in a batch, one of the two is a copy of it at the end of the training set."""
    copy = len(run.x)

    def renamed(indices: tuple[int, ...]) -> tuple[int, ...]:
        seen = [i == 0 and 0 in indices[:k] for k, i in enumerate(indices)]
        return tuple(copy if again else i for i, again in zip(indices, seen, strict=True))

    batches = tuple(tuple(map(renamed, passes)) for passes in run.batches)
    changed = replace(run, x=(*run.x, run.x[0]), y=(*run.y, run.y[0]), batches=batches)  # pyright: ignore[reportArgumentType]
    return changed, lambda c: c


def merged(contributions: Tensor, count: int) -> Tensor:
    """The contribution of a copy at the end added to that of the first example."""
    if contributions.shape[1] == count:
        return contributions
    first = contributions[:, :1] + contributions[:, count:]
    return torch.cat([first, contributions[:, 1:count]], 1)


def one_query(run: TrainingRun) -> Change:
    return replace(run, queries=run.queries[:1]), lambda c: c[:1]


def unused_example(run: TrainingRun) -> Change:
    changed = replace(run, x=(*run.x, run.x[0]), y=(*run.y, run.y[0]))  # pyright: ignore[reportArgumentType]
    return changed, lambda c: c


CHANGES = {
    "training set in reverse": reordered,
    "batches in reverse": shuffled_batches,
    "batches split": batches_split,
    "batches joined": batches_joined,
    "a repeated example as a copy": copied,
    "one query": one_query,
    "an example that is never used": unused_example,
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_of_a_run_do_to_contributions_what_they_must(change: str) -> None:
    @settings(QUIET, max_examples=2)
    @given(training_runs(losses=SUMS, optimizers=["SGD", "Nesterov", "AdamW"], largest_steps=2))
    def holds(run: TrainingRun) -> None:
        changed, expected = CHANGES[change](run)
        base, found = split(run), split(changed)
        assert distance(merged(found.contributions, len(run.x)), expected(base.contributions), base) < TOLERANCE

    holds()


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_changes(change: str) -> None:
    changed, expected = CHANGES[change](FIXED)
    assert changed != FIXED
    base, found = split(FIXED), split(changed)
    assert distance(merged(found.contributions, 3), expected(base.contributions), base) < TOLERANCE


@pytest.mark.parametrize(
    "wrong",
    [
        lambda run: replace(run, x=run.x[::-1], y=run.y[::-1]),
        lambda run: replace(run, loss="square-mean"),
        lambda run: replace(batches_split(run)[0], loss="square-mean"),
        lambda run: replace(run, batches=tuple(tuple(tuple(set(i)) for i in p) for p in run.batches)),
        lambda run: replace(run, batches=run.batches[::-1]),
        lambda run: replace(run, rates=run.rates[::-1]),
        lambda run: replace(run, settings=run.settings[:1]),
        lambda run: replace(run, queries=run.queries[::-1]),
    ],
    ids=["order", "mean", "split mean", "repeats dropped", "steps reversed", "rates reversed", "no decay", "queries"],
)
def test_other_changes_are_seen(wrong: Callable[[TrainingRun], TrainingRun]) -> None:
    base = split(FIXED)
    assert distance(split(wrong(FIXED)).contributions, base.contributions, base) > 1e-4


@settings(QUIET, max_examples=2)
@given(training_runs(optimizers=["SGD", "Adam"], largest_steps=3), st.integers(2, 3))
def test_the_split_does_not_depend_on_memory_or_on_how_much_is_kept(run: TrainingRun, every: int) -> None:
    recorded = run.record()
    whole = decompose(recorded.path, recorded.queries)
    chunked = decompose(recorded.path, recorded.queries, memory=1)
    sparse = split(run, every=every)
    assert distance(chunked.contributions, whole.contributions, whole) < TOLERANCE
    assert distance(sparse.contributions, whole.contributions, whole) < TOLERANCE


@settings(QUIET, max_examples=2)
@given(training_runs(largest_steps=2))
def test_an_affine_map_of_the_output_multiplies_every_part(run: TrainingRun) -> None:
    recorded = run.record()
    whole = decompose(recorded.path, recorded.queries)
    mapped = decompose(recorded.path, recorded.queries, output=lambda outputs: 3 * outputs - 1)
    assert distance(mapped.contributions, 3 * whole.contributions, whole) < TOLERANCE
    assert distance(mapped.final_output, 3 * whole.final_output - 1, whole) < TOLERANCE
    assert distance(mapped.regularizer_term, 3 * whole.regularizer_term, whole) < TOLERANCE


# What is drawn.


def any_one(strategy: st.SearchStrategy[Any], wanted: Callable[[Any], bool]) -> Any:
    phases = (Phase.generate,)
    return find(strategy, wanted, settings=settings(max_examples=2000, database=None, derandomize=True, phases=phases))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_drawn_and_built(name: str) -> None:
    network = any_one(networks(architectures=[name]), lambda n: n.outputs == 2 and n.inputs == 3)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = network.build()
    assert model(x).shape == (4, 2)
    assert torch.allclose(model(x)[1:2], model(x[1:2]), rtol=1e-14, atol=1e-14)
    assert torch.equal(model(x), network.build()(x))


SIGHTS: dict[str, Callable[[TrainingRun], bool]] = {
    **{f"loss {name}": lambda run, name=name: run.loss == name for name in LOSSES},
    **{f"optimizer {name}": lambda run, name=name: run.optimizer == name for name in OPTIMIZERS},
    "a repeated example": lambda run: any(len(set(i)) < len(i) for passes in run.batches for i in passes),
    "two backward passes": lambda run: any(len(passes) > 1 for passes in run.batches),
    "a changing rate": lambda run: len({*run.rates}) > 1,
    "a momentum": lambda run: dict(run.settings).get("momentum", 0.0) > 0,
    "an example that is in no batch": lambda run: (
        {i for passes in run.batches for indices in passes for i in indices} < {*range(len(run.x))}
    ),
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_every_kind_of_run_is_drawn(sight: str) -> None:
    assert SIGHTS[sight](any_one(training_runs(), SIGHTS[sight]))


def test_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    FIXED.network.build()
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (lambda: networks(architectures=["mpl"]), "there is no 'mpl'"),
        (lambda: training_runs(architectures=["lstm"]), "there is no 'lstm'"),
        (lambda: training_runs(optimizers=["LBFGS"]), "there is no 'LBFGS'"),
        (lambda: training_runs(losses=[]), "there is nothing to draw from"),
    ],
)
def test_bad_arguments_are_named(bad: Callable[[], st.SearchStrategy[Any]], what: str) -> None:
    with pytest.raises(InputError, match=what):
        find(bad(), lambda _: True)


def test_a_recorded_run_has_what_it_was_made_with() -> None:
    recorded: Recorded = FIXED.record()
    assert recorded.path.step_count == 3
    assert recorded.x.shape == (3, 2)
    assert recorded.y.shape == (3, 1)
