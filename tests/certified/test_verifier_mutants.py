"""Broken verifiers believe false certificates; the verifier itself does not.

Each mutant leaves one bound out. It forges a certificate that it accepts and that is false: the true number, known in
closed form, lies outside a ball that is stated. The verifier must reject it. Mutants do not look at the residual: it
is a second line of defence, which would catch some of them, as the last test shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flint import arb, ctx

from pkverify.certified import verifier
from tests.certified.forge import forge, formula, model, problem, sign

SOURCE = Path(verifier.__file__).read_text(encoding="utf-8")
# w' = 1 - w from 1/4, w' = w from 1/2 and w' = w^3 from 1/2 (where w = (4 - 2t)^(-1/2)).
FALLING = problem(model("linear", [1, 1], bias=False), "squared", [["1"]], [["1"]], ["1/4"], "1")
RISING = problem(formula(["w"], ["x"], "w*x"), "expression", [["1"]], [[]], ["1/2"], "1") | {
    "loss": {"kind": "expression", "reduction": "sum", "value": "-y**2/2"}
}
BURSTING = RISING | {"loss": {"kind": "expression", "reduction": "sum", "value": "-y**4/4"}}
NEARLY_BURST = BURSTING | {"horizon": "199/100"}
# w' = w^2/2 from 1/2, w = 1/(2 - t/2): the slope w of the flow has the midpoint 0 on a box around 0.
NEARLY_BURST_2 = RISING | {
    "loss": {"kind": "expression", "reduction": "sum", "value": "-y**3/6"}, "horizon": "199/50"
}  # fmt: skip
# w' = exp(w/10)/10 from 0, asked where the output exp(20 w) moves much faster than the flow.
FAR = problem(formula(["w"], ["x"], "exp(w*x)"), "nll-log-probability", [["1/10"]], [[]], ["0"], "1", queries=[["20"]])
OUTPUT = ("result", "decompositions", 0)


def falling_end() -> Any:
    return 1 - arb(3) / 4 * (-arb(1)).exp()


def rising_end() -> Any:
    return arb(1).exp() / 2


@dataclass(frozen=True)
class Mutant:
    """What is changed in the source, and the false certificate that it lets through."""

    old: str
    new: str
    problem: dict[str, Any]
    place: tuple[Any, ...]
    truth: Callable[[], Any]
    options: dict[str, Any] = field(default_factory=dict[str, Any])


END = ("result", "final_params", 0)
SHIFT = Fraction(1, 1000)
MUTANTS = {
    "tail of the defect dropped": Mutant(
        "h * flow * tail", "0", FALLING, END, falling_end,
        {"order": 3, "degree": 4, "disc": 8, "log_norm": 0, "tube": -10},
    ),
    "tail of the integrals dropped": Mutant(
        "lost * (h * tail)", "lost * 0", FAR, (*OUTPUT, "contributions", 0),
        lambda: (arb(99) / 100) ** -200 - 1, {"order": 3, "degree": 3, "disc": 64, "tube": -12},
    ),
    "known orders of the defect dropped": Mutant(
        "_norm(r[k] - f[k] for r, f in zip(rates, forces, strict=True)) / (k + 1)", "arb(0)", FALLING, END, falling_end,
        {"degree": 1, "disc": 8, "log_norm": 0},
    ),
    "start of a step unchecked": Mutant(
        "self.error + _norm(a - c[0] for a, c in zip(self.end, p, strict=True))", "self.error",
        FALLING, END, falling_end, {"shift": SHIFT, "disc": 8, "log_norm": 0},
    ),
    "error not carried": Mutant(
        "self.error + _norm(a - c[0]", "_norm(a - c[0]", FALLING, END, falling_end,
        {"shift": SHIFT, "disc": 8, "log_norm": 0, "tube": -5},
    ),
    "logarithmic norm unchecked": Mutant(
        "any(_is_above(mu, flow) for flow in flows)", "True", FALLING, END, falling_end,
        {"shift": SHIFT, "disc": 8, "log_norm": -20, "tube": -5},
    ),
    "logarithmic norm ignored": Mutant(
        "(mu * h / parts).exp()", "arb(1)", RISING, END, rising_end,
        {"steps": 1, "shift": SHIFT, "disc": 8, "log_norm": 2, "tube": -1},
    ),
    "width of the Hessian ignored": Mutant(
        "mu - reduce(arb.max, [sum((entry.rad() for entry in row), arb(0)) for row in entries])", "mu",
        NEARLY_BURST_2, END, lambda: arb(100),
        {"steps": 1, "shift": Fraction(-1, 2), "degree": 0, "order": 2, "log_norm": [1, -4], "tube": 0},
    ),
    "tube unchecked": Mutant(
        '_prove(highest < radius, "the error may leave the tube")', "pass", NEARLY_BURST, END,
        lambda: arb(50).sqrt(), {"steps": 1, "shift": Fraction(-1, 2), "degree": 0, "order": 2, "log_norm": [1, -4]},
    ),
    "error not integrated": Mutant(
        "moved * (strayed / width)", "moved * 0", FALLING, (*OUTPUT, "contributions", 0),
        lambda: falling_end() - arb(1) / 4,
        {"shift": SHIFT, "disc": 8, "log_norm": 0, "tube": -5},
    ),
}  # fmt: skip


def mutated(old: str, new: str, *, watchful: bool = False) -> ModuleType:
    module, source = ModuleType("mutant"), SOURCE
    for before, after in ((old, new), ("rest.contains(0)", "rest.contains(0)" if watchful else "True")):
        assert source.count(before) == 1, f"{source.count(before)} places are like {before!r}"
        source = source.replace(before, after)
    exec(compile(source, "mutant", "exec"), module.__dict__)  # noqa: S102 - our own source, on purpose
    return module


def contains(ball: dict[str, list[int]], truth: Any) -> bool:
    mid, rad = (arb((ball[key][0], ball[key][1])) for key in ("mid", "rad"))
    return not abs(truth - mid) > rad


@pytest.mark.parametrize("name", list(MUTANTS))
def test_a_false_certificate_that_a_mutant_believes_is_rejected(name: str) -> None:
    mutant = MUTANTS[name]
    broken = mutated(mutant.old, mutant.new)
    options = {"steps": 4} | mutant.options
    certificate = forge(mutant.problem, **options, verifier=broken)
    text, stated = sign(certificate), certificate
    for key in mutant.place:
        stated = stated[key]
    before, ctx.prec = ctx.prec, 200
    try:
        is_true = contains(stated, mutant.truth())
    finally:
        ctx.prec = before

    assert broken.verify_certificate(text).exit_code == 0
    assert not is_true
    assert verifier.verify_certificate(text).exit_code == 1


@pytest.mark.parametrize(
    ("given", "truth", "options"),
    [
        (FALLING, falling_end, {"disc": 8, "log_norm": 0}),
        (FALLING, falling_end, {"disc": 8, "log_norm": 0, "shift": SHIFT, "tube": -5}),
        (FALLING, falling_end, {"disc": 8, "log_norm": 0, "order": 3, "degree": 4, "tube": -5}),
        (RISING, rising_end, {"disc": 8, "log_norm": 2}),
        (RISING, rising_end, {"disc": 8, "log_norm": 2, "shift": SHIFT, "tube": -1}),
        (BURSTING, lambda: arb(2).rsqrt(), {"steps": 16, "order": 30, "log_norm": 2, "tube": -10}),
    ],
    ids=["falling", "falling aside", "falling roughly", "rising", "rising aside", "bursting"],
)
def test_the_verifier_itself_believes_only_what_is_true(
    given: dict[str, Any], truth: Callable[[], Any], options: dict[str, Any]
) -> None:
    certificate = forge(given, **({"steps": 4} | options))
    before, ctx.prec = ctx.prec, 200
    try:
        is_true = contains(certificate["result"]["final_params"][0], truth())
    finally:
        ctx.prec = before

    assert verifier.verify_certificate(sign(certificate)).exit_code == 0
    assert is_true


def test_the_residual_alone_catches_some_mutants() -> None:
    caught: list[str] = []
    for name, mutant in MUTANTS.items():
        certificate = forge(mutant.problem, **({"steps": 4} | mutant.options), verifier=mutated(mutant.old, mutant.new))
        watchful = mutated(mutant.old, mutant.new, watchful=True)
        if "the residual is not 0" in watchful.verify_certificate(sign(certificate)).message:
            caught.append(name)

    assert len(caught) >= 3, caught
