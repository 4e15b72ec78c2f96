"""What the verifier accepts, and what it rejects although the checksum is right."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from flint import ctx

from pkverify.certified.verifier import main, verify_certificate
from tests.certified.forge import Certificate, forge, formula, model, problem, sign

LINE = problem(
    model("linear", [1, 1], bias=False), "squared", [["1"], ["2"]], [["1"], ["3/2"]], ["1/3"], "1", queries=[["3/2"]]
)
NEURON = problem(
    formula(["w", "v"], ["x"], "tanh(w*x + v)"), "squared", [["1"], ["-1/2"]], [["7/10"], ["1/5"]], ["1/10", "-1/5"],
    "1/2", queries=[["3/10"]],
)  # fmt: skip
SIGMOID = formula(["w", "v"], ["x"], "2*sigmoid(2*w*x + 2*v) - 1")
MADE = {
    "line": forge(LINE, steps=3, disc=8, log_norm=0),
    "neuron": forge(NEURON, steps=5, order=36, tube=-20, parts=2),
}

Change = Callable[[Certificate], object]


def changed(name: str, change: Change) -> Certificate:
    certificate = copy.deepcopy(MADE[name])
    change(certificate)
    return certificate


def put(*path: Any) -> Change:
    """Set what the path leads to: keys and positions, then the new value."""
    *keys, last, value = path

    def change(certificate: Certificate) -> None:
        place: Any = certificate
        for key in keys:
            place = place[key]
        place[last] = value(place[last]) if callable(value) else value

    return change


def times(power: int) -> Callable[[list[int]], list[int]]:
    """A dyadic times a power of two."""
    return lambda dyadic: [dyadic[0], dyadic[1] + power]


def shifted(ball: dict[str, list[int]]) -> dict[str, list[int]]:
    """The ball four radii further."""
    mid, rad = (Fraction(ball[key][0]) * Fraction(2) ** ball[key][1] for key in ("mid", "rad"))
    moved = mid + 4 * rad
    return {"mid": [moved.numerator, 1 - moved.denominator.bit_length()], "rad": ball["rad"]}


def narrowed(ball: dict[str, list[int]]) -> dict[str, list[int]]:
    """The ball with a quarter of its radius, of which half was needed."""
    return ball | {"rad": times(-2)(ball["rad"])}


@pytest.mark.parametrize("name", list(MADE))
def test_a_right_certificate_is_accepted(name: str) -> None:
    verdict = verify_certificate(sign(MADE[name]))

    assert verdict.exit_code == 0, verdict.message
    assert verdict.proved[0].startswith("problem 'forged', horizon 1")
    assert len(verdict.proved) == 2
    assert "residual [+/-" in verdict.proved[1]


@pytest.mark.parametrize("name", list(MADE))
def test_precision_settings_are_restored(name: str) -> None:
    before = ctx.prec, ctx.cap
    verify_certificate(sign(MADE[name]))

    assert (ctx.prec, ctx.cap) == before


def test_damage_breaks_the_checksum() -> None:
    text = sign(MADE["line"])

    for old, new in (("forged", "forgot"), ('"3/2"', '"5/2"'), ('"order": 24', '"order": 23')):
        assert old in text
        verdict = verify_certificate(text.replace(old, new, 1))
        assert (verdict.exit_code, verdict.message) == (1, "rejected: the sha256 is not that of the certificate")


FIRST = ("result", "decompositions", 0)
BALLS = {
    "final_params": ("result", "final_params", 0),
    "initial_output": (*FIRST, "initial_output"),
    "final_output": (*FIRST, "final_output"),
    "contributions": (*FIRST, "contributions", 1),
    "path_kernel": (*FIRST, "path_kernel", 1, 0),
    "residual": (*FIRST, "residual"),
}


@pytest.mark.parametrize("alter", [shifted, narrowed])
@pytest.mark.parametrize("field", list(BALLS))
@pytest.mark.parametrize("name", list(MADE))
def test_every_number_of_the_result_is_checked(name: str, field: str, alter: Callable[[Any], Any]) -> None:
    verdict = verify_certificate(sign(changed(name, put(*BALLS[field], alter))))

    assert verdict.exit_code == 1
    assert "is not proved to lie in the stated ball" in verdict.message


WRONG: list[tuple[str, str, Change]] = [
    # The regulariser's term is exactly 0 here.
    ("neuron", "stated ball", put(*FIRST, "regularizer_term", {"mid": [1, -200], "rad": [1, -201]})),
    # Another problem.
    ("line", "", put("problem", "data", "x", 0, 0, "1001/1000")),
    ("line", "", put("problem", "data", "y", 1, 0, "1501/1000")),
    ("line", "", put("problem", "data", "x", [["2"], ["1"]])),
    ("line", "stated ball", put("problem", "queries", 0, 0, "8/5")),
    ("line", "error", put("problem", "initial", 0, "334/1000")),
    ("line", "steps do not end at the horizon", put("problem", "horizon", "2")),
    ("line", "steps do not end at the horizon", put("problem", "horizon", "999999/1000000")),
    ("line", "", put("problem", "loss", "reduction", "mean")),
    ("line", "", put("problem", "loss", {"kind": "expression", "reduction": "sum", "value": "(y - target)**2"})),
    ("line", "", put("problem", "loss", {"kind": "expression", "reduction": "sum", "value": "log(y)"})),
    ("line", "", put("problem", "loss", "kind", "logistic")),
    ("line", "", put("problem", "regularizer", {"strength": "1/1000000"})),
    ("line", "", put("problem", "regularizer", {"value": "w_1_1**3/1000000"})),
    ("line", "", put("problem", "model", formula(["w"], ["x"], "w*x + w**2/1000000"))),
    ("line", "", put("problem", "model", formula(["w"], ["x"], "w*x + 1/1000000"))),
    ("neuron", "", put("problem", "model", "outputs", ["sin(w*x + v)"])),
    ("neuron", "", put("problem", "model", "outputs", ["tanh(w*x + v)*1.0000001"])),
    ("neuron", "", put("problem", "model", "params", ["v", "w"])),
    ("neuron", "cut", put("problem", "model", "outputs", ["log(w*x + v)"])),
    ("neuron", "kink", put("problem", "model", "outputs", ["relu(w*x + v + 1/10)"])),
    # Other steps.
    ("line", "does not start where", put("steps", lambda steps: steps[1:])),
    ("line", "does not start where", put("steps", lambda steps: [steps[0], steps[2]])),
    ("line", "do not end at the horizon", put("steps", lambda steps: steps[:2])),
    ("line", "does not start where", put("steps", lambda steps: [steps[0], steps[2], steps[1]])),
    ("line", "does not start where", put("steps", lambda steps: [steps[0], *steps])),
    ("line", "does not start where", put("steps", 1, "start", "1/4")),
    ("line", "step 1: the error", put("steps", 1, "length", "1/4")),
    ("line", "does not start where", put("steps", 0, "length", "0")),
    ("line", "does not start where", put("steps", 0, "length", "-1/3")),
    ("line", "error", put("steps", 1, "polynomial", lambda _: MADE["line"]["steps"][2]["polynomial"])),
    ("neuron", "step 2", put("steps", 2, "polynomial", 0, 0, lambda c: [c[0] + (c[0] >> 16), c[1]])),
    ("neuron", "step 2: the error may leave", put("steps", 2, "polynomial", 1, 3, times(1))),
    ("neuron", "step 0: the error", put("steps", 0, "order", 2)),
    ("line", "stated ball", put("steps", 2, "error", times(3))),
    ("line", "step 1: the error", put("steps", 0, "error", times(4))),
    ("line", "step 2: the error is not", put("steps", 2, "error", times(-4))),
    ("line", "step 0: the error is not", put("steps", 0, "error", [0, 0])),
    ("line", "step 0: the error is not", put("steps", 0, "error", lambda e: [-e[0], e[1]])),
    ("line", "the disc is not larger", put("steps", 1, "disc", [1, 0])),
    ("line", "the disc is not larger", put("steps", 1, "disc", [-8, 0])),
    ("neuron", "no finite enclosure", put("steps", 1, "disc", [1, 8])),
    ("neuron", "the error", put("steps", 1, "disc", [9, -3])),
    ("line", "the error may leave the tube", put("steps", 1, "tube", [1, -200])),
    ("line", "the error may leave the tube", put("steps", 1, "tube", [0, 0])),
    ("line", "the error may leave the tube", put("steps", 1, "tube", [-1, -10])),
    ("neuron", "the logarithmic norm", put("steps", 1, "tube", [1, -1])),
    ("neuron", "the logarithmic norm", put("steps", 1, "tube", [1, 4])),
    ("neuron", "the margin not positive", put("steps", 1, "margin", [0, 0])),
    ("neuron", "the margin not positive", put("steps", 1, "margin", [-1, -3])),
    ("neuron", "no finite enclosure", put("steps", 1, "margin", [1, 8])),
    ("neuron", "stated ball", put("steps", 1, "margin", [1, -60])),
    ("neuron", "the logarithmic norm", put("steps", 1, "log_norm", 1, [-8, 0])),
    ("line", "the logarithmic norm", put("steps", 1, "log_norm", 0, [-51, -3])),  # the eigenvalue is -5
]


@pytest.mark.parametrize(("name", "complaint", "change"), WRONG, ids=map(str, range(len(WRONG))))
def test_a_false_or_unproved_certificate_is_rejected(name: str, complaint: str, change: Change) -> None:
    verdict = verify_certificate(sign(changed(name, change)))

    assert verdict.exit_code == 1
    assert verdict.message.startswith("rejected: ")
    assert complaint in verdict.message
    assert verdict.proved == ()


HARMLESS: list[tuple[str, Change]] = [
    ("line", put("problem", "title", "another <name>")),
    ("line", put("problem", "data", "y", 1, 0, "150/100")),
    ("line", put("problem", "regularizer", {"strength": "0"})),
    ("line", put("problem", "model", "kind", "deep-linear")),
    ("line", put("problem", "model", formula(["w"], ["x"], " x * +w ** 1 "))),
    ("line", put("problem", "model", formula(["w"], ["x"], "0*w + 1*(" * 59 + "w*x" + ")" * 59))),
    ("line", put("problem", "loss", {"kind": "expression", "reduction": "sum", "value": ".5*(target - y)**2"})),
    ("neuron", lambda c: c.update(precision=160, problem=NEURON | {"model": SIGMOID})),
    ("line", put("precision", 200)),
    ("line", put(*BALLS["final_params"], "rad", times(9))),
    ("line", put(*BALLS["residual"], {"mid": [0, 0], "rad": [1, 0]})),
    ("line", put("steps", 0, "polynomial", 0, lambda c: [*c, [0, 0], [0, 5]])),
    ("line", put("steps", 0, "polynomial", 0, 0, lambda c: [c[0] * 4, c[1] - 2])),
    ("line", put("steps", 2, "error", lambda e: [e[0] * 65, e[1] - 6])),
    ("line", put("steps", 0, "tube", times(3))),
    ("line", put("steps", 0, "log_norm", 0, [1, -12])),
    ("line", put("steps", 0, "log_norm", [[0, 0], [0, 0], [-1, 0]])),
    ("line", put("steps", 1, "disc", [9, 0])),
    ("line", put("steps", 1, "margin", [9, -6])),
]


@pytest.mark.parametrize(("name", "change"), HARMLESS, ids=map(str, range(len(HARMLESS))))
def test_harmless_changes_are_accepted(name: str, change: Change) -> None:
    certificate = changed(name, change)

    assert certificate != MADE[name]
    assert verify_certificate(sign(certificate)).message == "accepted: everything that the certificate states is proved"


def test_layout_is_harmless() -> None:
    certificate = json.loads(sign(MADE["line"]))
    backwards = {key: certificate[key] for key in reversed(certificate)}

    assert verify_certificate(json.dumps(backwards, indent=3)).exit_code == 0


def test_the_program_says_what_is_proved(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(sign(MADE["line"]), encoding="utf-8")
    command = [sys.executable, "-m", "pkverify.certified.verifier", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (run.returncode, run.stderr) == (0, "")
    first, second, last = run.stdout.splitlines()
    assert first == "problem 'forged', horizon 1, 1 parameters, 2 examples"
    assert second.startswith("query (3/2), output 0: residual [+/- ")
    assert last == "accepted: everything that the certificate states is proved"


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rejected, unreadable = tmp_path / "rejected.json", tmp_path / "unreadable.json"
    rejected.write_text(sign(changed("line", put("problem", "horizon", "2"))), encoding="utf-8")
    unreadable.write_bytes(b"\xff\xfe")

    assert main([str(rejected)]) == 1
    assert capsys.readouterr().out == "rejected: the steps do not end at the horizon\n"
    for arguments in ([str(unreadable)], [str(tmp_path / "absent.json")], [str(tmp_path)], []):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("unreadable: ")
