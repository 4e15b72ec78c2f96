"""A data-parallel run on two ranks, and the same run on one process: the global batches, the mean over the ranks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
import torch._dynamo  # pyright: ignore[reportUnusedImport] # DistributedDataParallel loads it when it is made: once here, for all forks
from safetensors.torch import save_file
from torch import Tensor, nn, optim
from torch.distributed import FileStore  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.algorithms.join import Join
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import BatchSampler, DistributedSampler, TensorDataset

from pkverify.network.decompose import decompose
from pkverify.network.distributed.crew import Crew
from pkverify.network.distributed.job import run_job
from pkverify.network.distributed.scale import Cut
from pkverify.network.distributed.target import Target
from pkverify.network.identity import identity
from pkverify.network.path import TrainingPath
from pkverify.network.record import record
from tests.network.training_cases import CLASSES, OPTIMIZERS, data, mlp, seeded, train

X, Y, QUERY = data()
LOSS = nn.CrossEntropyLoss()
TOKENS, POSITIONS = 11, 4


class Transformer(nn.Module):
    """One layer, width 8, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layers(self.embedding(tokens)).mean(1))


def setting(kind: str) -> tuple[Callable[[], nn.Module], Tensor, Tensor]:
    """How the model is made, the inputs and the queries."""
    if kind == "mlp":
        return mlp, X, QUERY
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(0, TOKENS, (len(X) + 2, POSITIONS), generator=generator)
    return Transformer, tokens[: len(X)], tokens[len(X) :]


def batches(rank: int, world: int, epochs: int, size: int = 4) -> list[list[int]]:
    """What the batch sampler over a DistributedSampler gives: 23 examples are padded to 24 by one that comes twice."""
    found: list[list[int]] = []
    sampler = DistributedSampler(TensorDataset(X), num_replicas=world, rank=rank, shuffle=True, seed=7)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found.extend(BatchSampler(sampler, size, drop_last=False))
    return found


def split_of(path: TrainingPath, query: Tensor) -> dict[str, Any]:
    d = decompose(path, query)
    return {
        "split": d.contributions,
        "momentum": d.initial_momentum_term,
        "regularizer": d.regularizer_term,
        "residual": d.relative_residual,
        "proof": identity(path, query).relative_residual,
        "steps": path.step_count,
        "batches": [[(b.indices, b.weight) for b in step.batches] for step in path.steps],
        "weights": path.weights(len(path.points)),
    }


def parallel(rank: int, world: int, name: str, kind: str, to: Path | None, options: dict[str, Any]) -> Any:
    """A recorded run on one rank; rank 0 (all, from a folder) splits it."""
    make, x, query = setting(kind)
    model = DistributedDataParallel(seeded(make), **options.get("ddp", {}))
    optimizer = OPTIMIZERS[name](model.parameters())
    passes, uneven = options.get("passes", 1), options.get("uneven", 0)
    mine = batches(rank, world, options.get("epochs", 1))
    mine = mine[: len(mine) - uneven] if rank == options.get("leaver", world - 1) and uneven else mine
    other = options.get("wrong")
    with record(
        model, optimizer, loss=LOSS, x=x[: 9 + rank] if other == "x" else x, y=Y[: 9 + rank] if other == "x" else Y,
        to=to, every=options.get("every", 1),
    ) as path:  # fmt: skip
        assert path.ranks is not None
        joins = [model] if other == "join" else [path.ranks, model]
        with Join(joins) if uneven else nullcontext():  # type: ignore[list-item]
            for number in range(0, len(mine), passes):
                optimizer.zero_grad()
                some = mine[number : number + passes]
                for place, batch in enumerate(some):
                    path.batch([0] * len(batch) if other == "batch" and rank == 1 else batch, weight=1 / passes)
                    last = place + 1 == len(some) and other != "sync"
                    with nullcontext() if last else model.no_sync():
                        (LOSS(model(x[batch]), Y[batch]) / passes).backward()
                optimizer.step()
    return None if rank and to is None else split_of(path, query)


def sharded(rank: int, world: int) -> None:
    """A model sharded by FSDP2, which a recording refuses."""
    del rank
    mesh = init_device_mesh("cpu", (world,))
    model = cast("nn.Module", fully_shard(seeded(mlp), mesh=mesh))
    with record(model, OPTIMIZERS["sgd"](model.parameters()), loss=LOSS, x=X, y=Y):
        pass


def alone(world: int, name: str, kind: str, *, passes: int = 1, epochs: int = 1) -> dict[str, Any]:
    """The same run on one process, recorded by what every rank did."""
    make, x, query = setting(kind)
    model = seeded(make)
    optimizer: optim.Optimizer = OPTIMIZERS[name](model.parameters())
    each = [batches(rank, world, epochs) for rank in range(world)]
    with record(model, optimizer, loss=LOSS, x=x, y=Y) as path:
        for number in range(0, len(each[0]), passes):
            optimizer.zero_grad()
            for batch in [batch for mine in each for batch in mine[number : number + passes]]:
                path.batch(batch, weight=1 / passes / world)
                (LOSS(model(x[batch]), Y[batch]) / passes / world).backward()
            optimizer.step()
    return split_of(path, query)


CUT = Cut(query_block=2, example_block=12, point_block=2)


def target(kind: str = "mlp") -> Target:
    """What was trained, as the command line names it."""
    make, x, _ = setting(kind)
    return Target(seeded(make, seed=99), LOSS, x, Y)


def written(folder: Path, name: str = "momentum", kind: str = "mlp") -> Path:
    """A run of four steps and its queries in a folder."""
    make, x, query = setting(kind)
    train(OPTIMIZERS[name], make, epochs=1, to=folder / "run", inputs=(x, query))
    save_file({"x": query}, folder / "queries.safetensors")
    return folder


def decomposed(rank: int, world: int, folder: Path, out: str, attempt: str, cut: Cut = CUT) -> None:
    """One rank of a job, which goes on with what stands."""
    torch.set_num_threads(1)
    crew = Crew(FileStore(str(folder / f"store-{out}-{attempt}"), world), rank, world)
    run_job(
        folder / "run", target(), folder / "queries.safetensors", folder / out, crew=crew, resume=True, cut=cut
    )  # fmt: skip


def as_tuple() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """The same for the command line, as users write it."""
    return seeded(mlp, seed=99), LOSS, X, Y
