"""Training runs that were drawn at random and once did not add up: each is split as any other now."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pkverify.network.decompose import decompose
from pkverify.network.record import record
from pkverify.testing.networks import Network, TrainingRun

SGD = (("momentum", 0.0), ("dampening", 0.0), ("weight_decay", 0.0), ("maximize", False))
NORMALISED = Network(architecture="normalised", inputs=1, width=3, outputs=2, activation="gelu", bias=False, seed=4)

RUNS = {
    "outputs are small differences of large terms": TrainingRun(
        network=NORMALISED,
        x=((-0.25,), (-0.25,), (0.25,)), y=((0.0, 0.0), (-0.75, 1.0), (1.5, -1.0)),
        loss="half-square-sum", optimizer="SGD", settings=SGD, rates=(0.25, 4.0, 0.125),
        batches=(((0, 0, 0, 0), (0, 1, 1, 1)), ((0, 2),), ((0,),)), queries=((0.0,),),
    ),
    "a narrow peak, far higher than its integral": TrainingRun(
        network=NORMALISED,
        x=((-1.75,), (-1.75,), (1.0,)), y=((0.0, -0.75), (-1.25, -2.0), (0.0, 0.0)),
        loss="half-square-sum", optimizer="SGD", settings=SGD, rates=(0.125, 4.0, 0.125),
        batches=(((0, 0, 0),), ((0, 1, 1, 1),), ((0, 2),)), queries=((0.0,),),
    ),
    "a narrow peak under Adam": TrainingRun(
        network=Network(
            architecture="normalised", inputs=2, width=2, outputs=1, activation="tanh", bias=False, seed=6
        ),
        x=((0.5, 0.0),), y=((0.0,),),
        loss="logistic-sum", optimizer="Adam",
        settings=(("betas", (0.9, 0.999)), ("weight_decay", 0.0), ("amsgrad", False)), rates=(0.0125, 0.0125, 0.4),
        batches=(((0,),), ((0, 0),), ((0, 0),)), queries=((-1.5, 0.0),),
    ),
    "weights of a thousand": TrainingRun(
        network=Network(
            architecture="residual", inputs=3, width=2, outputs=1, activation="softplus", bias=False, seed=0
        ),
        x=((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.5, 0.0, 0.0)), y=((0.0,), (0.75,), (-0.25,)),
        loss="half-square-sum", optimizer="SGD", settings=SGD, rates=(4.0, 4.0, 0.125, 0.125),
        batches=(((1,),), ((2,),), ((0,),), ((0,),)), queries=((-1.0, 0.0, 0.0),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_a_hard_run_is_split(run: TrainingRun) -> None:
    recorded = run.record()

    found = decompose(recorded.path, recorded.queries)

    sizes = found.contributions.abs().sum(1) + found.initial_output.abs()
    assert not found.unconverged
    assert float((found.residual.abs() / sizes.clamp(min=1.0)).max()) < 1e-12


@pytest.mark.parametrize(("threshold", "jumps"), [(20.0, True), (40.0, False)])
def test_the_jump_of_softplus_shows(threshold: float, jumps: bool) -> None:
    """torch's softplus drops 2e-9 where it becomes linear: no sum of gradients has that, and it is said."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Softplus(threshold=threshold)).double()
    with torch.no_grad():
        model[0].weight.fill_(19.0)  # type: ignore[union-attr,operator]
    x, y = torch.ones(1, 1).double(), torch.full((1, 1), 21.0).double()
    optimizer, loss = torch.optim.SGD(model.parameters(), lr=1.0), nn.MSELoss()
    with record(model, optimizer, loss=loss, x=x, y=y) as path:
        loss(model(x), y).backward()
        optimizer.step()

    found = decompose(path, x)

    assert bool(found.unconverged) is jumps
    assert (float(found.residual.abs().max()) > 1e-9) is jumps
