"""Adam and its relatives: AMSGrad, AdamW, Adamax, RAdam. Denominators are those of the run."""

from __future__ import annotations

import math

import torch

from pkverify.network.optimizers.split import Moment, Rule, Settings, Statistics, StepSplit, sign_of


def _with_decay(settings: Settings, step: torch.Tensor) -> StepSplit:
    """A first moment as buffer, ``step`` along it, and the decay where the group wants it."""
    first, decay = settings["betas"][0], settings["weight_decay"]
    decoupled = settings.get("decoupled_weight_decay", False)
    return StepSplit(
        keep=first,
        take=1.0 - first,
        from_buffer=step,
        sign=sign_of(settings),
        coupled_decay=0.0 if decoupled else decay,
        decoupled_decay=settings["lr"] * decay if decoupled else 0.0,
    )


def _second_moment(settings: Settings) -> tuple[str, ...]:
    return ("max_exp_avg_sq",) if settings.get("amsgrad") else ("exp_avg_sq",)


def _adam(settings: Settings, moment: Moment, statistics: Statistics) -> StepSplit:
    first, second = settings["betas"]
    (squares,) = statistics.values()
    denominator = squares.sqrt().div_(math.sqrt(1.0 - second**moment.count)).add_(settings["eps"])
    return _with_decay(settings, (settings["lr"] / (1.0 - first**moment.count)) / denominator)


def _adamax(settings: Settings, moment: Moment, statistics: Statistics) -> StepSplit:
    # torch keeps eps inside the running maximum, so the denominator is the statistic itself.
    rate = settings["lr"] / (1.0 - settings["betas"][0] ** moment.count)
    return _with_decay(settings, rate / statistics["exp_inf"])


def _radam(settings: Settings, moment: Moment, statistics: Statistics) -> StepSplit:
    first, second = settings["betas"]
    squares, count = statistics["exp_avg_sq"], moment.count
    rate = settings["lr"] / (1.0 - first**count)
    longest = 2.0 / (1.0 - second) - 1.0
    length = longest - 2.0 * count * second**count / (1.0 - second**count)
    if length <= 5.0:  # the variance is not yet tractable: a step of momentum without denominator
        return _with_decay(settings, torch.full_like(squares, rate))
    rectified = math.sqrt(
        (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)
    ) * math.sqrt(1.0 - second**moment.count)
    return _with_decay(settings, (rate * rectified) / squares.sqrt().add_(settings["eps"]))


_COMMON = ("lr", "betas", "eps", "weight_decay", "maximize")

ADAM = Rule(
    settings=(*_COMMON, "amsgrad", "decoupled_weight_decay"),
    statistics=_second_moment,
    buffer=lambda _: "exp_avg",
    split=_adam,
)
ADAMAX = Rule(
    settings=_COMMON,
    statistics=lambda _: ("exp_inf",),
    buffer=lambda _: "exp_avg",
    split=_adamax,
)
RADAM = Rule(
    settings=(*_COMMON, "decoupled_weight_decay"),
    statistics=lambda _: ("exp_avg_sq",),
    buffer=lambda _: "exp_avg",
    split=_radam,
)
