"""Tangent kernels of a multilayer perceptron against torch.func, captum, neural-tangents and a plain training pass.

    python tests/benchmarks/network_mlp.py [--full] [--large] [--device cpu] [--captum PYTHON] [--tangents PYTHON]

The kernel of the losses (one number an example) on 784-512-512-10; ``--full`` the kernel of all outputs; ``--large``
3072-4096-4096-10 with 4096 examples and 1024 queries, meant for an accelerator, where torch.func runs on a tile and
its time is scaled to the whole. Peers are given as the interpreters of environments that hold them.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn import functional

from pkverify.network.layers import study
from pkverify.network.tangent_kernel import Options, tangent_kernel
from tests.benchmarks.network_timing import Peer, Row, in_turns, show

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (784, 512, 512, 10)
LARGE = (3072, 4096, 4096, 10)


def inputs(sizes: tuple[int, ...], m: int, q: int) -> dict[str, Any]:
    """Weights and data, made once from a seed."""
    random = np.random.default_rng(7)
    made: dict[str, Any] = {}
    for layer, (a, b) in enumerate(pairwise(sizes)):
        made[f"w{layer}"] = random.normal(size=(b, a)) / np.sqrt(a)
        made[f"b{layer}"] = 0.1 * random.normal(size=b)
    made |= {"x": random.normal(size=(m, sizes[0])), "query": random.normal(size=(q, sizes[0]))}
    return made | {"y": random.integers(0, sizes[-1], m), "y_query": random.integers(0, sizes[-1], q)}


def network(made: dict[str, Any], device: str, dtype: torch.dtype) -> nn.Sequential:
    """The perceptron with the given weights."""
    layers: list[nn.Module] = []
    for layer in range(3):
        weight = torch.tensor(made[f"w{layer}"])
        linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        linear.load_state_dict({"weight": weight, "bias": torch.tensor(made[f"b{layer}"])})
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1]).to(device, dtype)


def by_jacobians(model: nn.Module, one: Callable[..., Tensor], left: Any, right: Any) -> Tensor:
    """The kernel by torch.func: every gradient made, then contracted."""
    params = {name: tensor.detach() for name, tensor in model.named_parameters()}
    sides: list[Any] = [vmap(one, (None, *(0,) * len(side)))(params, *side) for side in (left, right)]
    total: Any = 0
    for name, tensor in params.items():
        u, v = (side[name].flatten(-tensor.ndim) for side in sides)
        total = total + (u @ v.T if u.ndim == 2 else torch.einsum("qcd,med->qmce", u, v))
    return total


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for flag in ("--full", "--large", "--float32"):
        parser.add_argument(flag, action="store_true")
    for option in ("--captum", "--tangents"):
        parser.add_argument(option)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


def main() -> None:
    """Runs one workload and prints its table."""
    given = options()
    torch.set_num_threads(given.threads)
    dtype = torch.float32 if given.float32 else torch.float64
    sizes, m, q = (LARGE, 4096, 1024) if given.large else (SIZES, 64, 16) if given.full else (SIZES, 256, 64)
    made = inputs(sizes, m, q)
    model = network(made, given.device, dtype)
    x, query = (torch.tensor(made[key]).to(given.device, dtype) for key in ("x", "query"))
    y, y_query = (torch.tensor(made[key]).to(given.device) for key in ("y", "y_query"))
    loss = nn.CrossEntropyLoss()

    def loss_gradient(params: Any, one: Tensor, target: Tensor) -> Any:
        return grad(lambda p: functional.cross_entropy(functional_call(model, p, (one[None],)), target[None]))(params)

    def jacobian(params: Any, one: Tensor) -> Any:
        return jacrev(lambda p: functional_call(model, p, (one[None],))[0])(params)

    def plain() -> Any:
        together = functional.cross_entropy(model(torch.cat([query, x])), torch.cat([y_query, y]), reduction="sum")
        return torch.autograd.grad(together, list(model.parameters()))

    ours, public = "tangent_kernel, study given", "tangent_kernel"
    seen = study(model, x, dtype=dtype)
    losses: Options = {} if given.full else {"loss": loss, "y_train": y, "y_query": y_query}
    anew: Options = {**losses, "dtype": dtype}
    again: Options = {**losses, "study": seen}

    def by_tangent_kernel() -> Tensor:
        return tangent_kernel(model, query, x, **anew)

    def studied() -> Tensor:
        return tangent_kernel(model, query, x, **again)

    def by_torch(queries: slice, examples: slice) -> Tensor:
        if given.full:
            return by_jacobians(model, jacobian, (query[queries],), (x[examples],))
        left, right = (query[queries], y_query[queries]), (x[examples], y[examples])
        return by_jacobians(model, loss_gradient, left, right)

    ways: dict[str, Callable[[], Any]] = {public: by_tangent_kernel, ours: studied}
    if not given.full:
        ways["plain forward and backward"] = plain
    if given.large:
        tile = partial(by_torch, slice(0, 32), slice(0, 128))
        found, expected = by_tangent_kernel()[:32, :128], tile()
        print(f"error on a tile {float((found - expected).norm() / expected.norm()):.1e}")
        rows = in_turns({**ways, "plain torch.func, one tile": tile}, by_tangent_kernel(), 5)
        tiles = (q // 32) * (m // 128)
        whole = [
            Row("torch.func, scaled from one tile", row.seconds * tiles, row.processor * tiles, None)
            for row in rows
            if "tile" in row.name
        ]
        show(f"{sizes}, {m} x {q}, {dtype}, {given.device}", [*rows, *whole], ours)
        return
    reference = partial(by_torch, slice(None), slice(None))
    ways["torch.func"] = reference
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "inputs.npz"
        np.savez(path, **made)
        mode = "full" if given.full else "losses"
        if given.captum and not given.full:
            ways["captum TracInCP"] = Peer(given.captum, "network_peer_captum.py", str(path))
        if given.tangents:
            ways["neural-tangents, structured"] = Peer(given.tangents, "network_peer_tangents.py", mode, str(path))
        show(f"{sizes}, {m} x {q}, {mode}, {dtype}", in_turns(ways, reference(), given.rounds), ours)


if __name__ == "__main__":
    main()
