"""The optimisers whose steps can be split exactly, and the refusal of all others."""

from __future__ import annotations

import torch

from pkverify.errors import InputError
from pkverify.network.optimizers.adam import ADAM, ADAMAX, RADAM
from pkverify.network.optimizers.adaptive import ADAGRAD, RMSPROP
from pkverify.network.optimizers.sgd import SGD
from pkverify.network.optimizers.split import IDLE, Moment, Rule, StepSplit

__all__ = ["IDLE", "RULES", "Moment", "Rule", "StepSplit", "rule_of"]

RULES: dict[str, Rule] = {
    "SGD": SGD,
    "Adam": ADAM,
    "AdamW": ADAM,  # the decoupled decay is a setting of the group
    "Adamax": ADAMAX,
    "RAdam": RADAM,
    "Adagrad": ADAGRAD,
    "RMSprop": RMSPROP,
}
"""By the name of the class in torch.optim."""

_REASONS = {
    "LBFGS": "its step is a line search over several gradients, not a linear map of one",
    "Rprop": "its step depends on the signs of the gradient alone, which no example owns",
    "Adadelta": "its denominator before the step is not kept by torch, so the step cannot be recovered after it",
    "ASGD": "its averages are kept beside the weights that it moves",
    "NAdam": "the product of its momentum schedule is not among what is recorded",
    "SparseAdam": "its state moves only where a gradient is stored",
    "Adafactor": "its step is scaled by the norm of the weights and by factored moments",
    "Muon": "its step is an orthogonalisation of the momentum, which is not linear",
}


def rule_of(optimizer: torch.optim.Optimizer) -> Rule:
    """The rule by which the steps of an optimiser split.

    Args:
        optimizer: An optimiser of torch itself; a subclass may step otherwise, and is not taken for its parent.

    Returns:
        The rule.

    Raises:
        InputError: If the optimiser, or a setting of one of its groups, cannot be split exactly.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> rule_of(torch.optim.SGD([weight], lr=0.1)).settings
        ('lr', 'momentum', 'dampening', 'weight_decay', 'nesterov', 'maximize')
    """
    kind = type(optimizer)
    name = kind.__name__
    if getattr(torch.optim, name, None) is not kind:
        raise InputError(
            f"optimizer: {kind.__module__}.{name} cannot be split exactly",
            "its step is its own, and pkverify knows those of torch.optim only",
            f"use one of torch.optim: {', '.join(RULES)}",
        )
    if name not in RULES:
        raise InputError(
            f"optimizer: torch.optim.{name} cannot be split exactly",
            _REASONS.get(name, "its step is not known to be a linear map of the gradient"),
            f"use one of {', '.join(RULES)}",
        )
    rule = RULES[name]
    for number, group in enumerate(optimizer.param_groups):
        reason = rule.refusal(group)
        if reason:
            raise InputError(f"optimizer: group {number} of torch.optim.{name} cannot be split exactly", reason)
    return rule
