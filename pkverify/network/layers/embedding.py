"""Tables of embeddings: the gradient of an example touches only the rows that it looks up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from pkverify.network.layers.factor import blocks, dense_product
from pkverify.network.layers.site import Call, Site, argument_reader

if TYPE_CHECKING:
    from torch import Tensor

    from pkverify.network.layers.factor import Factor

_embedding = argument_reader("input", "weight", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse")


@dataclass(frozen=True)
class Lookup:
    """Gradients that add cotangents to the rows of a table that were looked up.

    Args:
        identifiers: ``[examples, positions]``, integers; repeated ones add up.
        cotangents: ``[examples, columns, positions, features]``.
        entries: How many rows the table has.
    """

    identifiers: Tensor
    cotangents: Tensor
    entries: int

    @property
    def examples(self) -> int:
        return self.cotangents.shape[0]

    @property
    def columns(self) -> int:
        return self.cotangents.shape[1]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.entries, self.cotangents.shape[3])

    def rows(self, which: slice) -> Lookup:
        return Lookup(self.identifiers[which], self.cotangents[which], self.entries)

    def materialize(self) -> Tensor:
        m, columns, positions, features = self.cotangents.shape
        where = self.identifiers[:, None, :, None].expand(m, columns, positions, features)
        return self.cotangents.new_zeros(m, columns, self.entries, features).scatter_add_(2, where, self.cotangents)

    def total(self) -> Tensor:
        _, columns, _, features = self.cotangents.shape
        sums = self.cotangents.new_zeros(self.entries, columns, features)
        sums.index_add_(0, self.identifiers.reshape(-1), self.cotangents.transpose(1, 2).flatten(0, 1))
        return sums.transpose(0, 1)

    def against(self, vectors: Tensor) -> Tensor:
        m, _, positions, features = self.cotangents.shape
        parts = [
            torch.einsum("kmtf,mctf->kmc", vectors[some][:, self.identifiers], self.cotangents)
            for some in blocks(vectors.shape[0], m * positions * features)
        ]
        return torch.cat(parts)


def lookup_product(left: Lookup, right: Lookup) -> Tensor:
    """Inner products of the gradients of two factors of one table: ``[q, columns, m, columns']``.

    Rows that only one side looks up cannot contribute, and are left out first.
    """
    common = left.identifiers.unique()
    common = common[torch.isin(common, right.identifiers)]
    if not common.numel():
        return left.cotangents.new_zeros(left.examples, left.columns, right.examples, right.columns)
    return dense_product(_among(left, common), _among(right, common))


def _among(factor: Lookup, common: Tensor) -> Lookup:
    """The factor in a table of the common rows alone; whatever else it looks up goes to one more, with nothing."""
    present = torch.isin(factor.identifiers, common)
    places = torch.searchsorted(common, factor.identifiers).clamp_max(common.numel() - 1)
    cotangents = factor.cotangents * present[:, None, :, None]
    return Lookup(places, cotangents, common.numel())


def embedding_site(call: Call) -> Site | None:
    """``embedding(identifiers, table)``, repeated identifiers and a padding row included."""
    given = _embedding(call)
    identifiers, table = given.get("input"), given.get("weight")
    if identifiers is None or table is None or given.get("max_norm") is not None or given.get("scale_grad_by_freq"):
        return None
    entries, padding = table.shape[0], given.get("padding_idx")
    padding = None if padding is None else int(padding) % entries

    def factor(_role: str, data: Tensor, cotangents: Tensor) -> Factor:
        places, spread = data.flatten(1).long(), cotangents.flatten(2, -2)
        if padding is not None:
            spread = spread * (places != padding)[:, None, :, None]
        return Lookup(places, spread, entries)

    return Site(call, {"weight": table}, identifiers, identifiers.ndim, factor)


EMBEDDING_SITES = {functional.embedding: embedding_site}
