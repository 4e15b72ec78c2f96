"""Adagrad and RMSprop: a denominator from past gradients, and for RMSprop a momentum of what is already divided."""

from __future__ import annotations

from pkverify.network.optimizers.split import Moment, Rule, Settings, Statistics, StepSplit, sign_of


def _adagrad(settings: Settings, moment: Moment, statistics: Statistics) -> StepSplit:
    rate = settings["lr"] / (1.0 + (moment.count - 1) * settings["lr_decay"])
    return StepSplit(
        from_gradient=rate / statistics["sum"].sqrt().add_(settings["eps"]),
        sign=sign_of(settings),
        coupled_decay=settings["weight_decay"],
    )


def _rmsprop(settings: Settings, _moment: Moment, statistics: Statistics) -> StepSplit:
    squares = statistics["square_avg"]
    if settings["centered"]:
        squares = squares - statistics["grad_avg"] ** 2
    inverse = 1.0 / squares.sqrt().add_(settings["eps"])
    common = {"sign": sign_of(settings), "coupled_decay": settings["weight_decay"]}
    if settings["momentum"]:
        return StepSplit(keep=settings["momentum"], take=inverse, from_buffer=settings["lr"], **common)
    return StepSplit(from_gradient=settings["lr"] * inverse, **common)


ADAGRAD = Rule(
    settings=("lr", "lr_decay", "eps", "weight_decay", "maximize"),
    statistics=lambda _: ("sum",),
    buffer=lambda _: None,
    split=_adagrad,
)
RMSPROP = Rule(
    settings=("lr", "momentum", "alpha", "eps", "centered", "weight_decay", "maximize"),
    statistics=lambda settings: ("square_avg", "grad_avg") if settings["centered"] else ("square_avg",),
    buffer=lambda settings: "momentum_buffer" if settings["momentum"] else None,
    split=_rmsprop,
)
