"""What does a recorded run cost, and how does its split compare with ExPLAIND's?

    python tests/benchmarks/network_training.py costs [--model mlp|transformer] [--batch 256] [--queries 2] [--no-split]
    python tests/benchmarks/network_training.py w6 [--examples 64] [--queries 2] [--steps 3]

``costs``: processor time a step of plain training, of recorded training (the guard looks at a step in fifty; with the
weights of every step, and of every eighth), of the identity alone with as many queries as a batch has examples, and of
the full split, each as a ratio to plain training: medians of ``--rounds`` in turns, after one to warm up. Beside the
split stands its floor in operations: with ``F`` for a forward pass of one example, ``B`` examples a step, ``q`` queries
of ``C`` outputs and ``n`` nodes, training takes ``3 B F``, the query gradients ``n q (1 + 2 C) F``, and the contraction
of ``q C`` dense vectors with the gradients of ``B`` examples ``q C B F``.

``w6``: plain full-batch descent at learning rate 0.1 on the mean cross-entropy of a 784-512-512-10 network. ExPLAIND is
used as it is where it can be imported (``pip install --no-deps --ignore-requires-python explaind==0.1.0`` in an
environment of its own; it declares Python 3.12); else its method is written out here, and the row says so: float32,
100 midpoint nodes a step, Jacobians by torch.func, contracted parameter by parameter.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from pkverify.network.decompose import decompose
from pkverify.network.identity import identity
from pkverify.network.record import record

LOSS = nn.CrossEntropyLoss()


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 512), nn.Tanh(), nn.Linear(512, 512), nn.Tanh(), nn.Linear(512, 10))


class Transformer(nn.Module):
    """Two layers, width 64, four heads, 32 positions; the mean over positions is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(64, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layers(self.embedding(tokens)).mean(1))


@dataclass(frozen=True)
class Setting:
    """A model, its data and its queries."""

    model: nn.Module
    x: Tensor
    y: Tensor
    query: Tensor


def setting(kind: str, examples: int, queries: int) -> Setting:
    torch.manual_seed(0)
    if kind == "mlp":
        inputs = torch.randn(examples + queries, 784, dtype=torch.float64) / 28
        model: nn.Module = mlp().double()
    else:
        inputs = torch.randint(0, 64, (examples + queries, 32))
        model = Transformer().double()
    return Setting(model, inputs[:examples], torch.randint(0, 10, (examples,)), inputs[examples:])


def spent(run: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time, which says more on a busy machine."""
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def costs(kind: str, batch: int, queries: int, steps: int, rounds: int, *, split_too: bool) -> None:
    case = setting(kind, 4 * batch, batch)
    size = sum(p.numel() for p in case.model.parameters())
    print(f"{kind}, {size} parameters, batch {batch}; identity of {batch} queries, split of {queries}; C = 10")
    print(
        f"{'':10} {'plain':>9} {'recorded':>9} {'every 8':>9} {'identity':>9} {'split':>9} {'floor':>7} {'x floor':>8}"
        "  residual"
    )
    makes: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
        "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9),
        "Adam": lambda p: torch.optim.Adam(p, lr=1e-3),
    }
    start = {name: t.clone() for name, t in case.model.state_dict().items()}
    for name, make in makes.items():

        def loop(every: int = 0, make: Callable[[Any], torch.optim.Optimizer] = make) -> Any:
            """Processor time of a step, the mean over all but the first two, and the path of a recorded run."""
            case.model.load_state_dict(start)
            optimizer = make(case.model.parameters())
            whole = record(case.model, optimizer, loss=LOSS, x=case.x, y=case.y, guard=50, every=max(1, every))
            begin = 0.0
            with whole if every else contextlib.nullcontext() as path:
                for number in range(steps + 2):
                    # Both of the first steps are looked at by the guard, and then one in fifty.
                    begin = time.process_time() if number == 2 else begin
                    indices = (torch.arange(batch) + number * batch) % len(case.x)
                    if path is not None:
                        path.batch(indices)
                    optimizer.zero_grad()
                    LOSS(case.model(case.x[indices]), case.y[indices]).backward()
                    optimizer.step()
                return (time.process_time() - begin) / steps, path

        ways: list[list[float]] = [[], [], [], []]
        path: Any = None
        for turn in range(1 + rounds):
            plain, _ = loop()
            recorded, path = loop(1)
            thinned, _ = loop(8)
            alone, _ = spent(lambda path=path: identity(path, case.query))
            for way, found in zip(ways, (plain, recorded, thinned, alone / path.step_count), strict=True):
                if turn:
                    way.append(found)
        plain, recorded, thinned, alone = map(statistics.median, ways)
        row = f"{name:10} {plain * 1e3:6.1f} ms {recorded / plain:8.2f}x {thinned / plain:8.2f}x {alone / plain:8.2f}x"
        if not split_too:
            print(row, flush=True)
            continue
        split, d = spent(lambda path=path: decompose(path, case.query[:queries]))
        nodes = sum(d.nodes) / len(d.nodes)
        gradients = nodes * queries * 21 / (3 * batch)
        contraction = 10 * queries / 3 if name != "SGD" else 0.0
        floor = 1 + gradients + contraction
        ratio = split / path.step_count / plain
        print(
            f"{row} {ratio:8.2f}x {floor:6.2f}x {ratio / floor:8.2f}  {d.relative_residual:.1e} ({nodes:.1f} nodes)",
            flush=True,
        )


def w6(examples: int, queries: int, steps: int) -> None:
    case = setting("mlp", examples, queries)
    # ExPLAIND wants log-probabilities; the split of these is asked of both.
    model = nn.Sequential(case.model, nn.LogSoftmax(1))
    loss = nn.NLLLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    weights = [{k: t.clone() for k, t in model.state_dict().items()}]
    with record(model, optimizer, loss=loss, x=case.x, y=case.y, guard=False) as path:
        for _ in range(steps):
            optimizer.zero_grad()
            loss(model(case.x), case.y).backward()
            optimizer.step()
            weights.append({k: t.clone() for k, t in model.state_dict().items()})
    decompose(path, case.query[:1])
    ours, d = min((spent(lambda: decompose(path, case.query)) for _ in range(3)), key=lambda t: t[0])
    name, run = peer(model, case, weights)
    theirs, predicted = spent(run)
    change = (d.final_output - d.initial_output).norm()
    missed = float((predicted.double() - d.final_output).norm() / change)
    print(f"W6: {examples} examples, {queries} queries, {steps} steps")
    print(f"pkverify, float64   {ours:8.3f} s   residual {d.relative_residual:.1e} of the change, nodes {d.nodes}")
    print(f"{name}   {theirs:8.3f} s   residual {missed:.1e} of the change")
    print(f"ratio {theirs / ours:.0f}")


def peer(model: nn.Module, case: Setting, weights: list[dict[str, Tensor]]) -> tuple[str, Callable[[], Tensor]]:
    """ExPLAIND where it is installed, else its method."""
    single = [{k: t.float() for k, t in w.items()} for w in weights]
    try:
        from explaind.epk_model import ExactPathKernelModel  # noqa: PLC0415 # pyright: ignore[reportMissingImports]
        from explaind.model_paths import ModelPath  # noqa: PLC0415 # pyright: ignore[reportMissingImports]
        from explaind.optimizer_paths import SGDOptimizerPath  # noqa: PLC0415 # pyright: ignore[reportMissingImports]
    except ImportError:
        return "ExPLAIND's method, written out here, float32", lambda: by_midpoints(model, case, single)
    float_model = nn.Sequential(mlp(), nn.LogSoftmax(1))
    models = ModelPath(float_model, device="cpu", checkpoints=single, output_dim=10)
    rates: list[dict[str, float]] = [{"lr": 0.1, "weight_decay": 0.0}] * len(weights)
    optimizer = SGDOptimizerPath(models, lr=0.1, weight_decay=0.0, momentum=0.0, checkpoints=rates, device="cpu")
    everybody = {"X": case.x.float(), "y": case.y, "indices": torch.arange(len(case.x))}
    data = SimpleNamespace(dataloader=SimpleNamespace(dataset=range(len(case.x))), get_checkpoint=lambda _: everybody)
    machine = ExactPathKernelModel(
        models,
        optimizer,
        nn.CrossEntropyLoss(),
        data,
        integral_eps=0.01,
        early_integral_eps=None,
        early_steps=0,
        evaluate_predictions=False,
        device="cpu",
        kernel_store_interval=float("nan"),  # never; with any number it fails at step 0, where it has no record yet
    )

    def run() -> Tensor:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return machine.predict(case.query.float())[0].detach()

    return "ExPLAIND 0.1.0, float32", run


def by_midpoints(model: nn.Module, case: Setting, weights: list[dict[str, Tensor]], nodes: int = 100) -> Tensor:
    """100 midpoints a step, a full Jacobian at each, one einsum a parameter."""
    query, x = case.query.float(), case.x.float()

    def output(params: dict[str, Tensor], one: Tensor) -> Tensor:
        return functional_call(model, params, (one[None],))[0]

    of_query = vmap(jacrev(output), in_dims=(None, 0))
    of_target = vmap(jacrev(lambda params, one, y: output(params, one).gather(0, y[None])[0]), in_dims=(None, 0, 0))
    total = functional_call(model, weights[0], (query,))
    for start, end in pairwise(weights):
        mean: dict[str, Tensor] = {}
        for node in range(nodes):
            u = (node + 0.5) / nodes
            found = of_query({k: (1 - u) * start[k] + u * end[k] for k in start}, query)
            mean = {k: (mean[k] + v / nodes) if mean else v / nodes for k, v in found.items()}
        train = of_target(start, x, case.y)
        for k, v in mean.items():
            kernel = torch.einsum("abc,ec->abe", v.flatten(2), train[k].flatten(1))
            total = total + 0.1 / len(x) * kernel.sum(2)
    return total.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["costs", "w6"])
    parser.add_argument("--model", choices=["mlp", "transformer"], default="mlp")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--queries", type=int, default=None)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-split", action="store_true", help="recording and identity only")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if arguments.what == "w6":
        w6(arguments.examples, arguments.queries or 2, arguments.steps or 3)
    else:
        costs(
            arguments.model,
            arguments.batch,
            arguments.queries or 2,
            arguments.steps or 50,
            arguments.rounds,
            split_too=not arguments.no_split,
        )


if __name__ == "__main__":
    main()
