"""TRAK: a score of another kind, which weighs gradients by the inverse of their second moments and adds up to nothing.

Its quantity is its own, so nothing is compared with a reference; the relations that hold for any attribution are
checked. Those that its definition breaks on purpose are named with the reason.
"""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.metadata import version
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from pkverify.testing.conform.adapter import Adapter, NotApplicable
from pkverify.testing.conform.task import Task

_REGULARIZER = 1.0  # without one the second moments of a few examples have no inverse
_PROJECTED = 64
_FORMULA = (
    "mean_s(1 - p_i) * mean_s(grad f(z) . (sum_j grad f(j) grad f(j)' + lambda)^-1 grad f(i)),"
    " f the log odds of the class, each inverse divided by the mean size of its entries"
)
_MEANS = "it is a mean over checkpoints, one factor and the other by itself"
_CANNOT = {
    "union": "the second moments are of all examples",
    "twice the set": "the second moments are of all examples, and lambda stays",
    "sum over steps": _MEANS,
    "every bias": "there is no reference",
    "every step": "there is no reference",
}


def trak(task: Task) -> Tensor:
    """Scores of the run's checkpoints, for the log odds of the queries' classes."""
    return _scores(task)


def trak_unprojected(task: Task) -> Tensor:
    """The same of the whole gradients."""
    return _scores(task, projector=import_module("trak.projectors").NoOpProjector(device="cpu"))


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module.

    Raises:
        ImportError: If traker is not installed.
    """
    import_module("trak")
    random = {**_CANNOT, "orthogonal": "its projection is random, and holds on average"}
    options: dict[str, Any] = {"losses": ("cross-entropy",), "any_examples": False, "formula": _FORMULA}
    number, note = version("traker"), f"lambda_reg {_REGULARIZER}"
    return (
        Adapter("TRAK", trak, "other", number, note=f"projected to {_PROJECTED}, {note}", cannot=random, **options),
        Adapter("TRAK, unprojected", trak_unprojected, "other", number, note=note, cannot=_CANNOT, **options),
    )


def _scores(task: Task, **options: Any) -> Tensor:
    if task.rescaled:
        raise NotApplicable("it has its own model outputs and losses")
    steps, exp = range(len(task.rates)), "queries"
    with TemporaryDirectory() as folder:
        traker: Any = import_module("trak").TRAKer(
            model=task.model,
            task="image_classification",
            train_set_size=len(task.x),
            save_dir=folder,
            device="cpu",
            **({} if options else {"proj_dim": _PROJECTED}),
            use_half_precision=False,
            logging_level=logging.CRITICAL,
            lambda_reg=_REGULARIZER,
            **options,
        )
        for s in steps:
            traker.load_checkpoint(dict(task.checkpoints[s]), model_id=s)
            for x, y in zip(task.x.split(task.batch_size), task.y.split(task.batch_size), strict=True):
                traker.featurize(batch=(x, y), num_samples=len(x))
        traker.finalize_features()
        for s in steps:
            traker.start_scoring_checkpoint(exp, dict(task.checkpoints[s]), model_id=s, num_targets=len(task.x_query))
            traker.score(batch=(task.x_query, task.y_query), num_samples=len(task.x_query))
        return torch.as_tensor(traker.finalize_scores(exp_name=exp)).clone().T
