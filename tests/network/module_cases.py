"""Modules of every kind, each with inputs and with what the layer-wise route must leave to the general one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from pkverify.network.layers.batches import Batch


class Around(nn.Module):
    """A module written as a function of (self, inputs), with its parts by name."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, Tensor) else part)
        self._body = forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._body(self, *args, **kwargs)


def reals(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def identifiers(entries: int, *shape: int) -> Tensor:
    return torch.randint(0, entries, shape)


@dataclass(frozen=True)
class Case:
    """A module, made anew each time, and inputs for seven examples."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], Batch]
    loose: tuple[str, ...] = ()

    def build(self, seed: int = 0) -> tuple[nn.Module, Batch]:
        torch.manual_seed(seed)
        model = self.make().double().eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim < 2:  # norms and biases would start at one and zero, and hide their mistakes
                    parameter.add_(0.3 * torch.randn_like(parameter))
                del name
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    buffer.add_(0.2 * torch.rand_like(buffer))
        return model, self.inputs()


def _tied(self: Any, x: Tensor) -> Tensor:
    return self.out(torch.tanh(self.inner(self.table(x)))).flatten(1)


def _tied_module() -> nn.Module:
    model = Around(_tied, table=nn.Embedding(6, 4), inner=nn.Linear(4, 4), out=nn.Linear(4, 6, bias=False))
    model.out.weight = model.table.weight  # type: ignore[union-attr]
    return model


def _residual(self: Any, x: Tensor) -> Tensor:
    h = x
    for block in (self.first, self.second):
        h = h + block(functional.relu(h))
    return self.head(h)


def _positions_first(self: Any, x: Tensor) -> Tensor:
    return self.head(self.encoder((self.table(x) + self.position).transpose(0, 1)).transpose(0, 1).flatten(1))


def _encoder(**options: Any) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def _rotated(self: Any, x: Tensor) -> Tensor:
    rows = x.transpose(0, 1).reshape(-1, x.shape[-1])  # positions first, flattened
    return self.head(torch.tanh(self.inner(rows)).reshape(x.shape[1], x.shape[0], -1).transpose(0, 1).flatten(1))


def _masked(self: Any, ids: Tensor, mask: Tensor) -> Tensor:
    h = self.encoder(self.table(ids), src_key_padding_mask=mask == 0)
    return self.head((h * mask.unsqueeze(-1)).sum(1))


def _decoder(self: Any, x: Tensor, memory: Tensor) -> Tensor:
    return self.layer(x, memory).flatten(1)


def _frames(self: Any, x: Tensor) -> Tensor:
    return self.head(torch.tanh(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2]).flatten(1))


CASES = {
    "mlp": Case(lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), lambda: reals(7, 4)),
    "one output": Case(
        lambda: nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 1)), lambda: reals(7, 4)
    ),
    "flat output": Case(lambda: Around(lambda self, x: self.l(x).squeeze(-1), l=nn.Linear(4, 1)), lambda: reals(7, 4)),
    "linear over positions": Case(
        lambda: nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 2), nn.Flatten()), lambda: reals(7, 3, 4)
    ),
    "linear over two axes": Case(
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Flatten()), lambda: reals(7, 2, 3, 4)
    ),
    "linear, positions as many as examples": Case(
        lambda: Around(_rotated, inner=nn.Linear(4, 3), head=nn.Linear(21, 2)), lambda: reals(7, 7, 4)
    ),
    "convolution 1d": Case(
        lambda: nn.Sequential(nn.Conv1d(3, 4, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2)),
        lambda: reals(7, 3, 7),
    ),
    "convolution 1d circular": Case(
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3, padding=1, padding_mode="circular"), nn.Tanh(), nn.Flatten()),
        lambda: reals(7, 2, 4),
    ),
    "convolution 1d reflected": Case(
        lambda: nn.Sequential(nn.Conv1d(2, 3, 3, padding=1, padding_mode="reflect"), nn.Tanh(), nn.Flatten()),
        lambda: reals(7, 2, 4),
    ),
    "convolution 2d": Case(
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 3, 2, bias=False),
            nn.Flatten(),
            nn.Linear(12, 3),
        ),
        lambda: reals(7, 2, 6, 6),
    ),
    "convolution groups, stride, dilation": Case(
        lambda: nn.Sequential(
            nn.Conv2d(4, 6, (2, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(90, 2),
        ),
        lambda: reals(7, 4, 5, 5),
    ),
    "convolution depthwise": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.Tanh(), nn.Flatten()), lambda: reals(7, 3, 4, 4)
    ),
    "convolution same": Case(
        lambda: nn.Sequential(nn.Conv1d(2, 3, 4, padding="same", dilation=2), nn.Tanh(), nn.Flatten()),
        lambda: reals(7, 2, 5),
    ),
    "convolution 3d": Case(
        lambda: nn.Sequential(nn.Conv3d(2, 3, 2, stride=(1, 2, 1)), nn.Tanh(), nn.Flatten()),
        lambda: reals(7, 2, 3, 4, 3),
    ),
    "convolution over frames": Case(
        lambda: Around(_frames, conv=nn.Conv1d(2, 3, 2), head=nn.Linear(36, 2)), lambda: reals(7, 4, 2, 4)
    ),
    "convolution transposed": Case(
        lambda: nn.Sequential(nn.ConvTranspose1d(2, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(15, 2)),
        lambda: reals(7, 2, 4),
        loose=("0.weight", "0.bias"),
    ),
    "batch norm": Case(
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 2),
            nn.BatchNorm2d(3),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(12, 4),
            nn.BatchNorm1d(4),
            nn.Linear(4, 2),
        ),
        lambda: reals(7, 2, 3, 3),
    ),
    "group and instance norm": Case(
        lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.Tanh(), nn.InstanceNorm1d(4, affine=True), nn.Flatten()),
        lambda: reals(7, 4, 3),
        loose=("2.weight", "2.bias"),
    ),
    "layer and rms norm": Case(
        lambda: nn.Sequential(
            nn.LayerNorm([3, 4]), nn.Linear(4, 4), nn.RMSNorm(4), nn.LayerNorm(4, bias=False), nn.Flatten()
        ),
        lambda: reals(7, 3, 4),
    ),
    "embedding, repeated": Case(
        lambda: nn.Sequential(nn.Embedding(4, 3), nn.Flatten(), nn.Linear(18, 2)), lambda: identifiers(4, 7, 6)
    ),
    "embedding, padding row": Case(
        lambda: nn.Sequential(nn.Embedding(4, 3, padding_idx=1), nn.Flatten(), nn.Tanh(), nn.Linear(18, 2)),
        lambda: identifiers(4, 7, 6),
    ),
    "tied table": Case(_tied_module, lambda: identifiers(6, 7, 3)),
    "called twice": Case(
        lambda: Around(lambda self, x: self.l(torch.tanh(self.l(x))), l=nn.Linear(4, 4)), lambda: reals(7, 4)
    ),
    "convolution called twice": Case(
        lambda: Around(lambda self, x: self.c(torch.tanh(self.c(x))).flatten(1), c=nn.Conv1d(3, 3, 2)),
        lambda: reals(7, 3, 4),
    ),
    "weight and its transpose": Case(
        lambda: Around(lambda self, x: torch.tanh(x @ self.w) @ self.w.t(), w=reals(4, 3)), lambda: reals(7, 4)
    ),
    "slices that overlap": Case(
        lambda: Around(lambda self, x: x @ self.w[:, :3] + torch.tanh(x @ self.w[:, 1:]), w=reals(4, 4)),
        lambda: reals(7, 4),
    ),
    "bare parameters": Case(
        lambda: Around(
            lambda self, x: self.lead - (torch.tanh(x * self.scale + self.shift) - self.low * x - self.shift),
            lead=reals(4),
            scale=reals(4),
            shift=reals(1, 4),
            low=reals(3, 1),
        ),
        lambda: reals(7, 3, 4),
    ),
    "einsum by hand": Case(
        lambda: Around(
            lambda self, x: torch.einsum("bi,ijk,bj->bk", x, self.w, x) + x.sum(1, keepdim=True) / self.d,
            w=reals(4, 4, 3),
            d=reals(3).abs() + 1,
        ),
        lambda: reals(7, 4),
        loose=("w", "d"),
    ),
    "recognised and not": Case(
        lambda: Around(lambda self, x: self.l(x) * self.l.weight.sum(), l=nn.Linear(4, 3)),
        lambda: reals(7, 4),
        loose=("l.weight",),
    ),
    "unused parameter": Case(
        lambda: Around(lambda self, x: self.l(x), l=nn.Linear(4, 3), spare=nn.Linear(2, 2)), lambda: reals(7, 4)
    ),
    "residual": Case(
        lambda: Around(_residual, first=nn.Linear(4, 4), second=nn.Linear(4, 4), head=nn.Linear(4, 2)),
        lambda: reals(7, 4),
    ),
    "attention": Case(
        lambda: Around(
            lambda self, x: self.a(x, x[:, :2], x[:, 1:3])[0].flatten(1),
            a=nn.MultiheadAttention(4, 2, batch_first=True),
        ),
        lambda: reals(7, 3, 4),
    ),
    "attention, other widths": Case(
        lambda: Around(
            lambda self, x: self.a(x, x[..., :3], x[..., :2], need_weights=False)[0].flatten(1),
            a=nn.MultiheadAttention(4, 2, kdim=3, vdim=2, batch_first=True),
        ),
        lambda: reals(7, 3, 4),
    ),
    "transformer, batch first": Case(
        lambda: Around(
            lambda self, x: self.head(self.encoder(x).mean(1)),
            head=nn.Linear(8, 3),
            encoder=_encoder(batch_first=True, norm_first=True),
        ),
        lambda: reals(7, 3, 8),
    ),
    "transformer, positions first": Case(
        lambda: Around(
            _positions_first, table=nn.Embedding(5, 8), position=reals(3, 8), encoder=_encoder(), head=nn.Linear(24, 2)
        ),
        lambda: identifiers(5, 7, 3),
    ),
    "transformer decoder, two inputs": Case(
        lambda: Around(_decoder, layer=nn.TransformerDecoderLayer(8, 2, 12, dropout=0.0, batch_first=True)),
        lambda: (reals(7, 2, 8), reals(7, 3, 8)),
    ),
    "dictionary with a mask": Case(
        lambda: Around(_masked, table=nn.Embedding(5, 8), encoder=_encoder(batch_first=True), head=nn.Linear(8, 2)),
        lambda: {
            "ids": identifiers(5, 7, 3),
            "mask": torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]]),
        },
    ),
    "positions of no example": Case(
        lambda: Around(
            lambda self, x: self.head(torch.tanh(self.l(x) + self.p(torch.arange(3)))).flatten(1),
            l=nn.Linear(4, 4),
            p=nn.Embedding(3, 4),
            head=nn.Linear(4, 2),
        ),
        lambda: reals(7, 3, 4),
        loose=("p.weight",),
    ),
    "lstm": Case(
        lambda: Around(
            lambda self, x: self.head(self.l(x)[0][:, -1]), l=nn.LSTM(3, 4, batch_first=True), head=nn.Linear(4, 2)
        ),
        lambda: reals(7, 3, 3),
        loose=("l.weight_ih_l0", "l.weight_hh_l0", "l.bias_ih_l0", "l.bias_hh_l0"),
    ),
    "checkpointed": Case(
        lambda: Around(
            lambda self, x: self.b(checkpoint(self.a, x, use_reentrant=False)),
            a=nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)),
            b=nn.Linear(3, 2),
        ),
        lambda: reals(7, 4),
    ),
    "product from the left": Case(
        lambda: Around(lambda self, x: (self.w @ x.T).T, w=reals(3, 4)), lambda: reals(7, 4), loose=("w",)
    ),
    "addmm": Case(
        lambda: Around(lambda self, x: torch.addmm(self.b, x, self.w), w=reals(4, 3), b=reals(3)), lambda: reals(7, 4)
    ),
    "prelu": Case(
        lambda: nn.Sequential(nn.Linear(4, 3), nn.PReLU(3), nn.Linear(3, 2)), lambda: reals(7, 4), loose=("1.weight",)
    ),
}


def brute_force(model: nn.Module, x: Batch, output: Callable[[Any], Tensor] | None = None) -> dict[str, Tensor]:
    """Jacobians ``[m, C, *shape]`` by plain autograd, one example and one output at a time."""
    entries = {"": x} if isinstance(x, Tensor) else dict(enumerate(x)) if isinstance(x, tuple) else dict(x)  # type: ignore[arg-type]
    m = next(iter(entries.values())).shape[0]
    state = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    found: dict[str, list[Tensor]] = {name: [] for name, _ in model.named_parameters()}
    weights = dict(model.named_parameters())
    for place in range(m):
        leaves = {name: weights[name].detach().clone().requires_grad_() for name in found}
        one = {key: entry[place : place + 1] for key, entry in entries.items()}
        args = () if isinstance(x, dict) else tuple(one.values())
        result: Any = functional_call(
            model,
            {**state, **leaves},
            args,
            {str(key): entry for key, entry in one.items()} if isinstance(x, dict) else {},
            tie_weights=True,
        )
        y = (output(result) if output else result).reshape(-1)
        rows = [torch.autograd.grad(c, list(leaves.values()), retain_graph=True, materialize_grads=True) for c in y]
        for name, columns in zip(leaves, zip(*rows, strict=True), strict=True):
            found[name].append(torch.stack(columns))
    return {name: torch.stack(rows) for name, rows in found.items()}


def flattened(jacobians: dict[str, Tensor]) -> Tensor:
    """``[m, C, d]``."""
    return torch.cat([jacobian.flatten(2) for jacobian in jacobians.values()], 2)


def distance(found: Tensor, expected: Tensor) -> float:
    """The Frobenius norm of the difference, relative to what is expected."""
    assert found.shape == expected.shape
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))
