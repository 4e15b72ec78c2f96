"""The kernel of a model's outputs, layer by layer and by torch.func: what two of the network benchmarks share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from pkverify.network.layers import study
from pkverify.network.tangent_kernel import plan_tangent_kernel, tangent_kernel
from tests.benchmarks.network_timing import in_turns, peak_megabytes, show

if TYPE_CHECKING:
    from collections.abc import Callable


def compare(title: str, make: Callable[[], nn.Module], data: Callable[[int, Tensor], Tensor]) -> None:
    """Reads the command line, runs both ways and prints the table, or the memory of one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--queries", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory")
    parser.add_argument("--only", choices=["layers", "torch"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = make().double().eval().to(given.device)
    empty = torch.empty(0, dtype=torch.float64)
    x, query = (data(count, empty).to(given.device) for count in (given.examples, given.queries))
    params = {name: tensor.detach() for name, tensor in model.named_parameters()}

    def jacobian(one: Tensor) -> Any:
        return jacrev(lambda p: functional_call(model, p, (one[None],))[0])(params)

    def by_torch() -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):
            left, right = vmap(jacobian)(query), vmap(jacobian)(x)
        parts = [torch.einsum("qcd,med->qmce", left[name].flatten(2), right[name].flatten(2)) for name in params]
        total = torch.stack(parts).sum(0)
        return total[:, :, 0, 0] if total.shape[2:] == (1, 1) else total

    def by_layers() -> Tensor:
        return tangent_kernel(model, query, x, memory=given.memory)

    seen = study(model, x)

    def studied() -> Tensor:
        return tangent_kernel(model, query, x, memory=given.memory, study=seen)

    if given.only:
        tangent_kernel(model, query[:1], x[:1])  # libraries and their buffers
        before = peak_megabytes()
        by_layers() if given.only == "layers" else by_torch()
        print(f"{title}, {given.only}: {peak_megabytes() - before:.0f} MB")
        return
    print(plan_tangent_kernel(model, query, x, memory=given.memory))
    ways: dict[str, Callable[[], Any]] = {
        "tangent_kernel": by_layers,
        "tangent_kernel, study given": studied,
        "torch.func": by_torch,
    }
    show(f"{title}, {given.examples} x {given.queries}", in_turns(ways, by_torch(), given.rounds), "tangent_kernel")
