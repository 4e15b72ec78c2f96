"""neural-tangents' structured derivatives on the perceptron of ``network_mlp``; run in an environment that holds it.

jax and jaxlib 0.4.23, numpy below 2, scipy below 1.13, frozendict, absl-py, and neural-tangents 0.6.5 without its
dependencies (it would bring tensorflow).
"""

from __future__ import annotations

import os
import sys
import time
import types
from importlib import import_module
from typing import Any

import numpy as np

# XLA takes as many threads as there are cores: it is left as many as the other ways have.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(os.environ["OMP_NUM_THREADS"])])

sys.modules["neural_tangents.experimental"] = types.ModuleType("experimental")  # it would import tensorflow
jax: Any = import_module("jax")
jnp: Any = import_module("jax.numpy")
nt: Any = import_module("neural_tangents")

jax.config.update("jax_enable_x64", True)


def main() -> None:
    """Serves runs; without the shared module, which needs torch."""
    mode, path, result = sys.argv[1:4]
    made = np.load(path)
    classes = 10
    params = [(jnp.array(made[f"w{layer}"].T.copy()), jnp.array(made[f"b{layer}"])) for layer in range(3)]
    x, query, y, y_query = (jnp.array(made[key]) for key in ("x", "query", "y", "y_query"))

    def outputs(weights: Any, inputs: Any) -> Any:
        h = inputs
        for layer, (w, b) in enumerate(weights):
            h = h @ w + b
            h = h if layer == 2 else jnp.tanh(h)
        return h

    def losses(weights: Any, both: Any) -> Any:
        # The targets ride along as one row of ones and zeros an example, so that the loss is made of products and sums,
        # whose structure the interpreter knows.
        logits = outputs(weights, both[:, :-classes])
        return (jax.nn.logsumexp(logits, 1) - (logits * both[:, -classes:]).sum(1))[:, None]

    arguments = query, x
    if mode != "full":
        unit = jnp.eye(classes)
        arguments = jnp.concatenate([query, unit[y_query]], 1), jnp.concatenate([x, unit[y]], 1)
    structured = nt.NtkImplementation.STRUCTURED_DERIVATIVES
    # The weights stand on the right and untransposed, and the axis of the examples is named: otherwise the structure
    # is not recognised, and a run takes a hundred times as long.
    function = outputs if mode == "full" else losses
    kernel = jax.jit(nt.empirical_ntk_fn(function, trace_axes=(), vmap_axes=0, implementation=structured))
    for _ in sys.stdin:
        start, used = time.perf_counter(), time.process_time()
        found = jax.block_until_ready(kernel(*arguments, params))
        passed = time.perf_counter() - start, time.process_time() - used
        np.save(result, np.asarray(found if mode == "full" else found[:, :, 0, 0]))
        print(*passed, flush=True)


if __name__ == "__main__":
    main()
