"""Losses of one example, as formulas over any algebra; the total loss is their sum (or mean), as in the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from pkverify.errors import InputError
from pkverify.expression import Algebra, Expression

T = TypeVar("T")

KINDS = ("squared", "softmax-cross-entropy", "logistic", "nll-probability", "nll-log-probability", "expression")
REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True)
class Loss:
    """The loss of one example and how the examples are added up.

    Attributes:
        kind: One of ``KINDS``.
        value: The formula, for kind ``expression``, in ``y`` and ``target`` (vectors: ``y0``, ``y1``, ...,
            ``target0``, ...).
        reduction: ``"sum"`` (as in the paper) or ``"mean"``.

    Raises:
        InputError: For a kind or reduction that does not exist, or a formula that is missing or out of place.

    Example:
        >>> Loss("squared").target_count(outputs=2)
        2
    """

    kind: str
    value: Expression | None = None
    reduction: str = "sum"

    def __post_init__(self) -> None:
        for key, given, known in (("kind", self.kind, KINDS), ("reduction", self.reduction, REDUCTIONS)):
            if given not in known:
                raise InputError(f"[loss] {key} {given!r} is not known", f"there are {', '.join(known)}", "choose one")
        if (self.kind == "expression") != (self.value is not None):
            raise InputError(
                "[loss] value is missing"
                if self.value is None
                else f"[loss] value does not go with kind {self.kind!r}",
                "a formula goes with kind 'expression', and only with it",
                'write the formula with kind = "expression"',
            )

    def target_count(self, outputs: int) -> int:
        """How many target numbers an example needs, for a model with so many outputs.

        Raises:
            InputError: If the loss does not fit the number of outputs.
        """
        match self.kind:
            case "squared":
                return outputs
            case "softmax-cross-entropy":
                if outputs < 2:
                    raise InputError(
                        f"[loss] kind softmax-cross-entropy is on {outputs} output", "softmax needs two logits or more",
                        "give the model more outputs, or use kind = \"logistic\"",
                    )  # fmt: skip
                return outputs
            case "logistic" | "nll-probability" | "nll-log-probability":
                if outputs != 1:
                    raise InputError(
                        f"[loss] kind {self.kind} is on {outputs} outputs", "it is defined for one output",
                        "use one output, or kind = \"softmax-cross-entropy\"",
                    )  # fmt: skip
                return 1 if self.kind == "logistic" else 0
            case _:
                assert self.value is not None
                known = {*loss_names("y", outputs), *loss_names("target", outputs)}
                unknown = sorted(self.value.names - known)
                if unknown:
                    raise InputError(
                        f"[loss] value uses {unknown[0]!r}", f"with {outputs} output(s) it may use {_few(known)}",
                        "use these names",
                    )  # fmt: skip
                return outputs if any(name.startswith("target") for name in self.value.names) else 0

    def build(self, algebra: Algebra[T], outputs: Sequence[T], targets: Sequence[T]) -> T:
        """The loss of one example over an algebra, given its outputs and its targets."""

        def minus(term: T) -> T:
            return algebra.multiply(algebra.number(Fraction(-1)), term)

        match self.kind:
            case "squared":
                half = algebra.number(Fraction(1, 2))
                errors = [algebra.add([y, minus(t)]) for y, t in zip(outputs, targets, strict=True)]
                return algebra.add([algebra.multiply(half, algebra.power(error, Fraction(2))) for error in errors])
            case "softmax-cross-entropy":
                partition = algebra.add([algebra.call("exp", y) for y in outputs])
                observed = [minus(algebra.multiply(t, y)) for y, t in zip(outputs, targets, strict=True)]
                return algebra.add([algebra.call("log", partition), *observed])
            case "logistic":
                return algebra.add(
                    [algebra.call("softplus", outputs[0]), minus(algebra.multiply(targets[0], outputs[0]))]
                )
            case "nll-probability":
                return minus(algebra.call("log", outputs[0]))
            case "nll-log-probability":
                return minus(outputs[0])
            case _:
                assert self.value is not None
                values = dict(zip(loss_names("y", len(outputs)), outputs, strict=True))
                values |= dict(zip(loss_names("target", len(targets)), targets, strict=True)) if targets else {}
                return self.value.build(algebra, values)


def _few(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown if len(shown) <= 8 else [*shown[:8], "..."])


def loss_names(stem: str, count: int) -> list[str]:
    """The names that a loss formula uses: ``y`` for one output; ``y0``, ``y1``, ... for several."""
    return [stem] if count == 1 else [f"{stem}{k}" for k in range(count)]
