"""Stochastic gradient descent: momentum, dampening, Nesterov's form, weight decay."""

from __future__ import annotations

from pkverify.network.optimizers.split import Moment, Rule, Settings, Statistics, StepSplit, sign_of


def _split(settings: Settings, moment: Moment, _statistics: Statistics) -> StepSplit:
    rate, momentum, decay = settings["lr"], settings["momentum"], settings["weight_decay"]
    common = {"sign": sign_of(settings), "coupled_decay": decay}
    if not momentum:
        return StepSplit(from_gradient=rate, **common)

    # The first gradient enters a new buffer whole: torch applies no dampening there.
    keep, take = (0.0, 1.0) if moment.fresh else (momentum, 1.0 - settings["dampening"])
    if settings["nesterov"]:
        return StepSplit(keep=keep, take=take, from_buffer=rate * momentum, from_gradient=rate, **common)
    return StepSplit(keep=keep, take=take, from_buffer=rate, **common)


SGD = Rule(
    settings=("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"),
    statistics=lambda _: (),
    buffer=lambda settings: "momentum_buffer" if settings["momentum"] else None,
    split=_split,
    counts=False,
)
