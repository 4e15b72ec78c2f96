"""captum's TracInCP on the perceptron of ``network_mlp``; run in an environment that holds captum."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from tests.benchmarks.network_timing import serve


def main() -> None:
    """Serves runs."""
    warnings.simplefilter("ignore")
    torch.set_default_dtype(torch.float64)  # captum sums in the default dtype
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    made = np.load(sys.argv[1])
    layers: list[nn.Module] = []
    for layer in range(3):
        weight = torch.tensor(made[f"w{layer}"])
        linear = nn.Linear(weight.shape[1], weight.shape[0]).double()
        linear.load_state_dict({"weight": weight, "bias": torch.tensor(made[f"b{layer}"])})
        layers += [linear, nn.Tanh()]
    x, y, query, y_query = (torch.tensor(made[key]) for key in ("x", "y", "query", "y_query"))

    def load(_model: Any, _path: Any) -> float:
        return 1.0

    influence: Any = import_module("captum.influence").TracInCP(
        nn.Sequential(*layers[:-1]),
        TensorDataset(x, y),
        ["one"],
        checkpoints_load_func=load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=len(x),
        sample_wise_grads_per_batch=True,
    )
    serve(lambda: influence.influence((query, y_query)).numpy())


if __name__ == "__main__":
    main()
