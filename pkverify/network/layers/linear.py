"""Weights that multiply: linear layers, matrix products and, over their patches, convolutions.

The gradient of an example is a sum over its positions t of outer products of a cotangent and an input. The inner
product of two such gradients can be had in two orders: all pairs of positions, each a product of two numbers, or the
sums first, multiplied out. Which needs fewer operations depends on the number of positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

from pkverify.network.layers.factor import Dense, Extent, Sides, blocks, contraction_flops, dense_product
from pkverify.network.layers.site import Call, Site, argument_reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pkverify.network.layers.factor import Factor

Route = Literal["pairs", "sums"]


@dataclass(frozen=True)
class Outer:
    """Gradients that are sums over positions of ``cotangent x input``, in each of several groups of channels.

    Args:
        inputs: ``[examples, positions, groups, inputs]``.
        cotangents: ``[examples, columns, positions, groups, outputs]``.
        shape: The shape of the weight, whose entries run over (groups, outputs, inputs) in order, or over
            (inputs, outputs) when ``transposed``.
        transposed: Whether the weight multiplies from the right, as in ``x @ weight``; then there is one group.
    """

    inputs: Tensor
    cotangents: Tensor
    shape: tuple[int, ...]
    transposed: bool = False

    @property
    def examples(self) -> int:
        return self.cotangents.shape[0]

    @property
    def columns(self) -> int:
        return self.cotangents.shape[1]

    @property
    def positions(self) -> int:
        return self.cotangents.shape[2]

    @property
    def extent(self) -> Extent:
        _, _, positions, groups, outputs = self.cotangents.shape
        return Extent(positions, groups, self.inputs.shape[-1], outputs)

    def rows(self, which: slice) -> Outer:
        return Outer(self.inputs[which], self.cotangents[which], self.shape, self.transposed)

    def materialize(self) -> Tensor:
        m, columns, positions, groups, outputs = self.cotangents.shape
        left = self.cotangents.permute(0, 3, 1, 4, 2).reshape(m * groups, columns * outputs, positions)
        right = self.inputs.permute(0, 2, 1, 3).reshape(m * groups, positions, -1)
        product = torch.bmm(left, right).reshape(m, groups, columns, outputs, -1).movedim(1, 2)
        return self._shaped(product)

    def mirrored(self) -> Outer:
        """The gradients of one column with inputs and cotangents in each other's place: each group transposed."""
        _, _, _, groups, outputs = self.cotangents.shape
        shape = (groups, self.inputs.shape[-1], outputs)
        return Outer(self.cotangents[:, 0], self.inputs.unsqueeze(1), shape)

    def total(self) -> Tensor:
        _, columns, _, groups, outputs = self.cotangents.shape
        left = self.cotangents.permute(3, 1, 4, 0, 2).reshape(groups, columns * outputs, -1)
        right = self.inputs.permute(2, 0, 1, 3).reshape(groups, -1, self.inputs.shape[-1])
        product = torch.bmm(left, right).reshape(groups, columns, outputs, -1).movedim(0, 1)
        return self._shaped(product)

    def _shaped(self, product: Tensor) -> Tensor:
        if self.transposed:
            product = product.transpose(-1, -2)
        return product.reshape(*product.shape[:-3], *self.shape)

    def against(self, vectors: Tensor) -> Tensor:
        m, columns, positions, groups, outputs = self.cotangents.shape
        k, inputs = vectors.shape[0], self.inputs.shape[-1]
        direct = 2 * k * m * groups * positions * outputs * (inputs + columns)
        multiplied = 2 * m * columns * groups * outputs * inputs * (positions + k)
        if groups > 1 or (positions > 1 and direct > multiplied):
            flat = vectors.reshape(k, -1)
            parts = [
                Dense(self.rows(some).materialize()).against(flat)
                for some in blocks(m, columns * math.prod(self.shape))
            ]
            return torch.cat(parts, 1)
        matrices = vectors.reshape(k, inputs, outputs).mT if self.transposed else vectors.reshape(k, outputs, inputs)
        rows = self.inputs.reshape(m * positions, inputs)
        cotangents = self.cotangents[..., 0, :]
        parts = []
        for some in blocks(k, outputs * m * positions):
            images = (matrices[some].reshape(-1, inputs) @ rows.T).reshape(-1, outputs, m, positions)
            parts.append(torch.einsum("komt,mcto->kmc", images, cotangents))
        return torch.cat(parts)


def cheaper_route(left: Outer, right: Outer) -> Route:
    """The order of contraction with fewer operations.

    Args:
        left: The factor of the queries.
        right: The factor of the training examples.

    Returns:
        ``"pairs"`` of positions, or ``"sums"`` over positions first.

    Example:
        >>> one = Outer(torch.ones(4, 1, 1, 9), torch.ones(4, 1, 1, 1, 9), (9, 9))
        >>> many = Outer(torch.ones(4, 50, 1, 9), torch.ones(4, 1, 50, 1, 9), (9, 9))
        >>> cheaper_route(one, one), cheaper_route(many, many)
        ('pairs', 'sums')
    """
    sides = Sides(left.examples, left.columns, right.examples, right.columns)
    pairs, sums = contraction_flops(left.extent, right.extent, sides)
    return "pairs" if pairs <= sums else "sums"


def outer_product(
    left: Outer, right: Outer, route: Route | None = None, beside: Sequence[tuple[Outer, Outer]] = ()
) -> Tensor:
    """Inner products of the gradients of two factors of one weight, and of those beside it.

    Args:
        left: The factor of the queries.
        right: The factor of the training examples.
        route: An order of contraction; the cheaper one when left out.
        beside: Factors of other weights with the same cotangents, for which the order must be by pairs: products of
            the cotangents are taken once, and multiply the sum of the products of the inputs.

    Returns:
        ``[q, columns, m, columns']``.
    """
    if (route or cheaper_route(left, right)) == "sums":
        inputs, outputs = left.extent.inputs, left.extent.outputs
        if left.columns == right.columns == 1 and outputs > inputs:
            # Small products of matrices are faster with the longer axis last; both sides turned round agree as well.
            left, right = left.mirrored(), right.mirrored()
        return dense_product(left, right)
    m, right_columns, right_positions, groups, outputs = right.cotangents.shape
    inputs = right.inputs.shape[-1]
    pairs = m * left.positions * right_positions * (1 + left.columns * right_columns)
    found: list[Tensor] = []
    for some in blocks(left.examples, pairs):
        part = left.rows(some)
        q = part.examples
        total: Tensor | None = None
        for group in range(groups):
            cotangents = part.cotangents[..., group, :].reshape(-1, outputs)
            others = right.cotangents[..., group, :].reshape(-1, outputs)
            product = (cotangents @ others.T).view(q, left.columns, left.positions, m, right_columns, right_positions)
            alike = part.inputs[:, :, group].reshape(-1, inputs) @ right.inputs[:, :, group].reshape(-1, inputs).T
            for a, b in beside:
                alike.addmm_(a.inputs[some, :, group].flatten(0, 1), b.inputs[:, :, group].flatten(0, 1).T)
            product *= alike.view(q, 1, left.positions, m, 1, right_positions)
            summed = product.sum((2, 5)) if left.positions * right_positions > 1 else product[:, :, 0, :, :, 0]
            total = summed if total is None else total.add_(summed)
        assert total is not None
        found.append(total)
    return found[0] if len(found) == 1 else torch.cat(found)


_linear = argument_reader("input", "weight", "bias")
_matmul = argument_reader("input", "other")
_addmm = argument_reader("input", "mat1", "mat2")


def _product_site(call: Call, inputs: Tensor, parameters: dict[str, Tensor], *, transposed: bool) -> Site | None:
    """The site of ``inputs @ weight (+ bias)``, or of its transposed form."""
    weight, bias = parameters.get("weight"), parameters.get("bias")
    if inputs.ndim < 2 or (weight is not None and weight.ndim != 2) or (bias is not None and bias.ndim != 1):
        return None

    def factor(role: str, data: Tensor, cotangents: Tensor) -> Factor:
        spread = cotangents.flatten(2, -2)
        if role == "bias":
            return _bias_factor(spread)
        assert weight is not None
        return Outer(data.flatten(1, -2).unsqueeze(2), spread.unsqueeze(3), tuple(weight.shape), transposed)

    return Site(call, parameters, inputs, inputs.ndim - 1, factor)


def _bias_factor(cotangents: Tensor) -> Factor:
    """The factor of a bias, from the cotangents ``[examples, columns, positions, outputs]`` of what it is added to."""
    examples, _, positions, outputs = cotangents.shape
    if positions > 1:
        return Dense(cotangents.sum(2))
    # The weight of an input that is always one: so its products can be taken with those of the layer's weight.
    return Outer(cotangents.new_ones(()).expand(examples, 1, 1, 1), cotangents.unsqueeze(3), (outputs,))


def linear_site(call: Call) -> Site | None:
    """``linear(input, weight, bias)`` with any number of positions between the batch axis and the features."""
    given = _linear(call)
    inputs = given.get("input")
    if inputs is None or call.tracks(inputs):
        return None
    return _product_site(call, inputs, call.parameters(given, "weight", "bias"), transposed=False)


def matmul_site(call: Call) -> Site | None:
    """``input @ weight``, the weight on the right."""
    given = _matmul(call)
    inputs, weight = given.get("input"), given.get("other")
    if inputs is None or weight is None or call.tracks(inputs):
        return None
    return _product_site(call, inputs, {"weight": weight}, transposed=True)


def addmm_site(call: Call) -> Site | None:
    """``addmm(bias, input, weight)``, with both factors one."""
    given = _addmm(call)
    inputs, weight, bias = given.get("mat1"), given.get("mat2"), given.get("input")
    if inputs is None or weight is None or bias is None or call.tracks(inputs) or call.has("beta", "alpha", "out"):
        return None
    named = {"weight": weight, "bias": bias}
    return _product_site(call, inputs, {k: v for k, v in named.items() if call.tracks(v)}, transposed=True)


LINEAR_SITES = {
    functional.linear: linear_site,
    torch.matmul: matmul_site,
    torch.mm: matmul_site,
    torch.Tensor.matmul: matmul_site,
    torch.Tensor.mm: matmul_site,
    torch.addmm: addmm_site,
    torch.Tensor.addmm: addmm_site,
}
