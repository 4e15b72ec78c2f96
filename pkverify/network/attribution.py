"""The decomposition of a batch of predictions of a network, as tensors."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pkverify.decomposition import Decomposition, drawer
from pkverify.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "pkverify.network-decomposition/1"


class Top(NamedTuple):
    """The examples with the largest contributions, largest absolute value first."""

    indices: Tensor
    """Positions of the examples, ``[q, C, k]``."""
    contributions: Tensor
    """Their contributions, ``[q, C, k]``."""


@dataclass(frozen=True)
class Unconverged:
    """A step whose averaged query gradients did not converge within their budget.

    Attributes:
        step: The number of the (first) step of the segment.
        error: The largest difference that was left between the change of an output and its integral, in output units.
        nodes: The nodes that were spent on it.
    """

    step: int
    error: float
    nodes: int


@dataclass(frozen=True)
class NetworkDecomposition:
    """``final = initial + initial_momentum_term + regularizer_term + sum_i contributions[i] + residual``.

    All of it is in the units of the outputs.

    Attributes:
        initial_output: The outputs at the first weights, ``[q, C]``.
        final_output: The outputs at the last weights, evaluated and not summed, ``[q, C]``.
        contributions: The part of each training example, ``[q, m, C]``.
        regularizer_term: The part of weight decay, ``[q, C]``.
        initial_momentum_term: The part of the momentum that the optimiser brought along when the recording began.
        residual: What the sum misses, reported as it came out, ``[q, C]``.
        unconverged: Steps whose quadrature stayed above its tolerance; their miss stands in the residual.
        nodes: For each segment of the path the most quadrature nodes that a query took.
        path_kernel: ``[q, m]`` for one output on both sides, else ``[q, m, C, C']``; None unless asked for.
        weights: ``a_i`` with ``contributions[i] = path_kernel[i] a_i``: ``[q, m]`` or ``[q, m, C']``; 0 where absent.
        weights_absent: Where the path kernel is not separated from 0 (or is singular), ``[q, m]``.
    """

    initial_output: Tensor
    final_output: Tensor
    contributions: Tensor
    regularizer_term: Tensor
    initial_momentum_term: Tensor
    residual: Tensor
    unconverged: tuple[Unconverged, ...] = ()
    nodes: tuple[int, ...] = ()
    path_kernel: Tensor | None = None
    weights: Tensor | None = None
    weights_absent: Tensor | None = field(default=None)

    @property
    def completeness(self) -> Tensor:
        """``|residual|`` relative to the change of the output, ``[q, C]``; 0 where both are 0."""
        change = (self.final_output - self.initial_output).abs()
        return torch.where(self.residual == 0, 0.0, self.residual.abs() / change)

    @property
    def relative_residual(self) -> float:
        """The norm of all residuals relative to that of all changes of the outputs."""
        change = float((self.final_output - self.initial_output).norm())
        missed = float(self.residual.norm())
        return missed / change if change else missed

    @property
    def conditioning(self) -> Tensor:
        """``sum_i |contributions[i]| / |sum_i contributions[i]|``, ``[q, C]``: how far rounding is magnified."""
        total = self.contributions.sum(1).abs()
        size = self.contributions.abs().sum(1)
        return torch.where(size == 0, 1.0, size / total)

    def plot(self, query: int = 0, output: int = 0) -> Any:
        """Draw the contributions to one prediction, from its initial to its final value; a matplotlib figure."""
        return drawer()(self.prediction(query, output), "waterfall")

    def prediction(self, query: int = 0, output: int = 0) -> Decomposition:
        """One prediction as the record that all routes share; weights and kernels are left out."""
        count = self.contributions.shape[1]
        digits = 15 if self.contributions.dtype == torch.float64 else 6

        def text(value: Tensor) -> str:
            return f"{float(value):.{digits}g}"

        return Decomposition(
            route="network", digits=digits, query=(Fraction(query),), output=output,
            initial_output=text(self.initial_output[query, output]),
            final_output=text(self.final_output[query, output]),
            contributions=tuple(text(value) for value in self.contributions[query, :, output]),
            regularizer_term=text(self.regularizer_term[query, output] + self.initial_momentum_term[query, output]),
            residual=text(self.residual[query, output]), path_kernel=("0",) * count, weights=(None,) * count,
            weights_absent=dict.fromkeys(range(count), "not asked for"), horizon=Fraction(len(self.nodes)),
        )  # fmt: skip

    def top(self, k: int) -> Top:
        """The k examples with the largest contributions to each query and output.

        Args:
            k: How many; no more than there are examples.

        Returns:
            Their positions and their contributions, with their signs.

        Raises:
            InputError: If there are fewer examples.
        """
        if not 1 <= k <= self.contributions.shape[1]:
            raise InputError(
                f"k: {k} of {self.contributions.shape[1]} examples", "", f"give 1 to {self.contributions.shape[1]}"
            )
        values = self.contributions.transpose(1, 2)
        places = values.abs().topk(k, -1).indices
        return Top(places, values.gather(-1, places))

    def group_by(self, labels: Tensor | Sequence[Hashable]) -> dict[Hashable, Tensor]:
        """The contributions summed by class, or by any other key.

        Args:
            labels: One for each training example.

        Returns:
            For each label, in the order of first appearance, the sum ``[q, C]``.

        Raises:
            InputError: If there is not one label for each example.
        """
        keys: list[Hashable] = labels.tolist() if isinstance(labels, Tensor) else list(labels)
        if len(keys) != self.contributions.shape[1]:
            raise InputError(
                f"labels: {len(keys)} for {self.contributions.shape[1]} examples", "", "give one for each example"
            )
        names = list(dict.fromkeys(keys))
        place = {name: number for number, name in enumerate(names)}
        index = torch.tensor([place[key] for key in keys], device=self.contributions.device)
        q, _, outputs = self.contributions.shape
        sums = self.contributions.new_zeros(q, len(names), outputs).index_add_(1, index, self.contributions)
        return {name: sums[:, number] for number, name in enumerate(names)}

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each query, example and output: ``query``, ``example``, ``output``, ``contribution``.

        Returns:
            A pandas data frame.

        Raises:
            ImportError: If pandas is not installed.
        """
        import pandas as pd  # noqa: PLC0415 - only here, and it is not a dependency

        q, m, outputs = self.contributions.shape
        query, example, output = torch.meshgrid(torch.arange(q), torch.arange(m), torch.arange(outputs), indexing="ij")
        return pd.DataFrame(
            {
                "query": query.reshape(-1).numpy(),
                "example": example.reshape(-1).numpy(),
                "output": output.reshape(-1).numpy(),
                "contribution": self.contributions.reshape(-1).cpu().numpy(),
            }
        )

    def save(self, file: str | Path) -> None:
        """Write all tensors to one safetensors file.

        Args:
            file: Where to.
        """
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        rest = {
            "schema": SCHEMA,
            "nodes": list(self.nodes),
            "unconverged": [[u.step, u.error, u.nodes] for u in self.unconverged],
        }
        metadata = {"pkverify": json.dumps(rest)}
        save_file({name: t.cpu().contiguous() for name, t in tensors.items()}, Path(file), metadata=metadata)

    @staticmethod
    def load(file: str | Path) -> NetworkDecomposition:
        """Read what ``save`` wrote.

        Args:
            file: The file.

        Returns:
            The decomposition, its tensors on the CPU.

        Raises:
            InputError: If the file holds something else.
        """
        with safe_open(Path(file), framework="pt") as opened:
            rest = json.loads((opened.metadata() or {}).get("pkverify", "{}"))
            if rest.get("schema") != SCHEMA:
                raise InputError(f"{file}: schema {rest.get('schema')!r}", f"this version reads {SCHEMA!r}")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
        unconverged = tuple(Unconverged(*entry) for entry in rest["unconverged"])
        return NetworkDecomposition(**tensors, unconverged=unconverged, nodes=tuple(rest["nodes"]))
