"""TRAK: a score of another kind, which weighs gradients by the inverse of their second moments and adds up to nothing.

No quantity is claimed for it. The relations that hold for any attribution are checked all the same.
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


def trak(task: Task) -> Tensor:
    """Scores of the run's checkpoints, for the log odds of the queries' classes."""
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
            proj_dim=_PROJECTED,
            use_half_precision=False,
            logging_level=logging.CRITICAL,
            lambda_reg=_REGULARIZER,
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


def adapters() -> tuple[Adapter, ...]:
    """The adapters of this module.

    Raises:
        ImportError: If traker is not installed.
    """
    import_module("trak")
    note = f"projected to {_PROJECTED} dimensions, lambda_reg {_REGULARIZER}"
    return (Adapter("TRAK", trak, None, version("traker"), losses=("cross-entropy",), any_examples=False, note=note),)
