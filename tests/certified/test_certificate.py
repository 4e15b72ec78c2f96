"""Certificates of the certified route: the verifier accepts them, and they say what the enclosure says."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pkverify.certified.certificate import SCHEMA, certificate_text, write_certificate
from pkverify.certified.enclosed import Enclosed
from pkverify.certified.enclosure import enclose
from pkverify.certified.verifier import verify_certificate
from pkverify.errors import InputError
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem
from tests.certified.forge import sign

MODELS = {
    "linear": """
        title = "line"
        model = {kind = "linear", bias = true}
        loss = {kind = "squared", reduction = "mean"}
        data = {x = ["0", "1", "2"], y = ["1/2", "1", "5/2"]}
        flow = {initial = ["0", "1/3"], horizon = "1"}
        query = {x = ["3/2", "-1"]}""",
    "ridge": """
        model = {kind = "linear", bias = false}
        loss = {kind = "squared"}
        regularizer = {kind = "l2", strength = "1/2"}
        data = {x = ["1", "2"], y = ["1", "3/2"]}
        flow = {initial = ["1/5"], horizon = "1/3"}""",
    "stiff": """
        model = {kind = "linear", bias = false}
        loss = {kind = "squared"}
        data = {x = [["20", "15"], ["1", "2"]], y = ["1", "0"]}
        flow = {initial = ["1/3", "1/2"], horizon = "1/4"}""",
    "logistic": """
        model = {kind = "linear", bias = true}
        loss = {kind = "logistic"}
        data = {x = ["-1", "0", "3/2"], y = ["0", "1", "1"]}
        flow = {initial = ["1/10", "0"], horizon = "2"}""",
    "softmax": """
        model = {kind = "linear", bias = true}
        loss = {kind = "softmax-cross-entropy"}
        data = {x = ["-1", "0", "1"], y = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
        flow = {initial = ["1/10", "0", "-1/5", "0", "1/10", "0"], horizon = "1/2"}
        query = {x = ["1/4"]}""",
    "mlp": """
        model = {kind = "mlp", layers = [1, 2, 1], activation = "tanh", bias = true}
        loss = {kind = "squared"}
        regularizer = {value = "w_1_1_1**2*b_2_1/10"}
        data = {x = ["-1", "1/2"], y = ["-1/2", "3/5"]}
        flow = {initial = ["1/2", "-3/10", "1/10", "-1/5", "2/5", "3/10", "0"], horizon = "1/2"}""",
    "deep linear": """
        model = {kind = "deep-linear", layers = [1, 2, 2], bias = false}
        loss = {kind = "squared"}
        data = {x = ["1", "1/2"], y = [["1", "0"], ["1/4", "1"]]}
        flow = {initial = ["9/10", "4/5", "1", "7/10", "1/2", "-1/3"], horizon = "1/2"}""",
    "probability": """
        model = {kind = "expression", params = ["w"], inputs = ["x"], output = "sigmoid(w*x)"}
        loss = {kind = "nll-probability"}
        data = {x = ["3/2"]}
        flow = {initial = ["-1/5"], horizon = "1"}""",
    "log-probability": """
        model = {kind = "expression", params = ["w"], inputs = ["x"], output = "-softplus(-w*x)"}
        loss = {kind = "nll-log-probability"}
        data = {x = ["3/2"]}
        flow = {initial = ["-1/5"], horizon = "1"}""",
    "formulas": """
        model = {kind = "expression", params = ["u", "lambda"], inputs = ["x"], output = [
            "sin(u*x) + exp(-lambda**2)*cosh(lambda)/(1 + u**2) - 2**-u",
            "sqrt(1 + u**2)*atan(lambda*x) + erf(u)*cos(lambda) + tan(lambda/5) + x**(1/2)*sinh(u/3)"]}
        loss = {kind = "expression", value = "(y0 - target0)**2/2 + log(1 + (y1 - target1)**2) + y0*y1/10"}
        regularizer = {value = "(u**2 + lambda**4)/5 + pi*u/100"}
        data = {x = ["1", "1/2"], y = [["6/5", "1/3"], ["1", "2"]]}
        flow = {initial = ["1/3", "1/2"], horizon = "1/4"}""",
    "one side of a kink": """
        model = {kind = "expression", params = ["w"], inputs = ["x"], output = "relu(w*x) + abs(x - w - 9)"}
        loss = {kind = "squared"}
        data = {x = ["1"], y = ["21/2"]}
        flow = {initial = ["1"], horizon = "1/8"}""",
}


def problem(name: str) -> Problem:
    return parse_problem(MODELS[name])


@pytest.mark.parametrize("name", list(MODELS))
def test_certificates_are_accepted(name: str) -> None:
    enclosure = enclose(problem(name), digits=12)
    verdict = verify_certificate(certificate_text(enclosure))

    assert verdict.message == "accepted: everything that the certificate states is proved"
    assert len(verdict.proved) == 1 + len(enclosure.queries) * len(enclosure.initial_outputs[0])


@pytest.mark.slow
@pytest.mark.parametrize("digits", [5, 30, 100, 300])
@pytest.mark.parametrize("name", ["ridge", "logistic", "mlp"])
def test_certificates_of_any_digits_are_accepted(name: str, digits: int) -> None:
    assert verify_certificate(certificate_text(enclose(problem(name), digits=digits))).exit_code == 0


def exact(pair: list[int]) -> Fraction:
    return Fraction(pair[0]) * Fraction(2) ** pair[1]


def holds(ball: dict[str, list[int]], number: Enclosed) -> bool:
    """Whether the ball holds the whole enclosure, and is not much larger."""
    distance, rad = abs(exact(ball["mid"]) - number.mid), exact(ball["rad"])
    return distance + number.rad <= rad <= 2 * number.rad + Fraction(1, 2**60)


@pytest.mark.parametrize("name", ["linear", "ridge", "softmax"])
def test_a_certificate_says_what_the_enclosure_says(name: str) -> None:
    enclosure = enclose(problem(name), digits=15)
    certificate = json.loads(certificate_text(enclosure))
    outputs = len(enclosure.initial_outputs[0])
    entries: list[Any] = certificate["result"]["decompositions"]

    assert certificate["schema"] == SCHEMA
    assert [(e["query"], e["output"]) for e in entries] == [
        (q, c) for q in range(len(enclosure.queries)) for c in range(outputs)
    ]
    assert all(map(holds, certificate["result"]["final_params"], enclosure.final_params))
    for entry in entries:
        q, c = entry["query"], entry["output"]
        assert holds(entry["initial_output"], enclosure.initial_outputs[q][c])
        assert holds(entry["final_output"], enclosure.final_outputs[q][c])
        assert holds(entry["regularizer_term"], enclosure.regularizer_terms[q][c])
        assert holds(entry["residual"], enclosure.residuals[q][c])
        for i, kernel in enumerate(entry["path_kernel"]):
            assert holds(entry["contributions"][i], enclosure.contributions[q][i][c])
            assert all(map(holds, kernel, enclosure.path_kernels[q][i][c]))


def test_a_certificate_holds_the_problem() -> None:
    certificate = json.loads(certificate_text(enclose(problem("ridge"), digits=8)))

    assert certificate["problem"] == {
        "title": "",
        "model": {"kind": "linear", "layers": [1, 1], "activation": None, "bias": False},
        "loss": {"kind": "squared", "reduction": "sum"},
        "regularizer": {"strength": "1/2"},
        "data": {"x": [["1"], ["2"]], "y": [["1"], ["3/2"]]},
        "initial": ["1/5"],
        "horizon": "1/3",
        "queries": [["1"], ["2"]],
    }
    assert sum(Fraction(step["length"]) for step in certificate["steps"]) == Fraction(1, 3)


@pytest.mark.parametrize("name", ["linear", "logistic", "mlp"])
def test_the_slack_is_small(name: str) -> None:
    """A certificate whose balls are half as wide, or a quarter, is not proved any more."""
    certificate = json.loads(certificate_text(enclose(problem(name), digits=12)))
    for entry in certificate["result"]["final_params"]:
        entry["rad"][1] -= 2

    assert verify_certificate(sign(certificate)).exit_code == 1


def test_two_problems_do_not_share_a_certificate() -> None:
    one, other = (json.loads(certificate_text(enclose(problem(name), digits=8))) for name in ("linear", "ridge"))

    assert verify_certificate(sign(one | {"problem": other["problem"]})).exit_code != 0
    assert verify_certificate(sign(one | {"steps": other["steps"]})).exit_code != 0
    assert verify_certificate(sign(one | {"result": other["result"]})).exit_code != 0


def test_the_same_enclosure_gives_the_same_bytes() -> None:
    texts = {certificate_text(enclose(problem("ridge"), digits=8)) for _ in range(2)}

    assert len(texts) == 1


def test_a_certificate_is_written_whole(tmp_path: Path) -> None:
    enclosure, path = enclose(problem("ridge"), digits=8), tmp_path / "certificate.json"
    path.write_text("before", encoding="utf-8")
    write_certificate(enclosure, path)

    assert path.read_text(encoding="utf-8") == certificate_text(enclosure)
    assert [*tmp_path.iterdir()] == [path]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    enclosure = enclose(problem("ridge"), digits=8)
    folder = tmp_path / "certificate.json"
    folder.mkdir()
    (folder / "kept").touch()

    with pytest.raises(OSError, match="directory"):
        write_certificate(enclosure, folder)
    with pytest.raises(OSError, match="absent"):
        write_certificate(enclosure, tmp_path / "absent" / "certificate.json")
    assert [*tmp_path.iterdir()] == [folder]


def test_a_model_that_the_checker_does_not_know_is_refused() -> None:
    class Odd:
        kind = "odd"

    enclosure = enclose(problem("ridge"), digits=8)
    object.__setattr__(enclosure.problem, "model", Odd())

    with pytest.raises(InputError, match="a model of type Odd has no certificate"):
        certificate_text(enclosure)


SMOOTH = 'kind = "expression", value = "log(1 + (y - target)**2)"'
# Much wider as it is written than it need be: a parameter twice in a sum, discs on which softplus or logistic functions
# come near their poles, constants that nearly cancel.
WIDE = {
    "differences": ("v*(-7/4) + v", 'kind = "squared"'),
    "a Hessian that depends on them": (
        "v + (-9/5)*v", 'kind = "expression", value = "(y - target)**2/2 + (y - target)**4/10"'
    ),
    "softplus on a disc": ("softplus(u*x + v)", SMOOTH),
    "a factor twice": ("u*atan(x)*(v + x*v)", 'kind = "squared"'),
    "softplus of a bounded function": ("softplus(tanh(u))", 'kind = "expression", value = "sqrt(1 + (y - target)**2)"'),
    "softplus twice": ("softplus(softplus(u))", SMOOTH),
    "constants that nearly cancel": (
        "tanh(-1/4)*(v*erf(-6/5) + v)", 'kind = "expression", value = "softplus(y - target) + (y - target)**2/4"'
    ),
    "a square in a softplus": ("-softplus((u + 1)*(u + 1))", 'kind = "nll-log-probability"'),
    "a sum with little left": (
        "-softplus((4/5)*u + ((-1/3) + (-1/5)) + (u + (-4/3))*(-4/3))", 'kind = "nll-log-probability"'
    ),
}  # fmt: skip


def wide(name: str) -> Problem:
    output, loss = WIDE[name]
    targets = "" if "nll" in loss else ', y = ["-5/4", "-3/4", "9/5"]'
    return parse_problem(f"""
    model = {{kind = "expression", params = ["u", "v"], inputs = ["x"], output = "{output}"}}
    loss = {{{loss}}}
    regularizer = {{kind = "l2", strength = 1}}
    data = {{x = [["-1"], ["7/5"], ["-6/5"]]{targets}}}
    flow = {{initial = ["3/4", "1/2"], horizon = "5/4"}}
    query = {{x = [["1/2"], ["-1/4"], ["1"]]}}
    """)


@pytest.mark.parametrize("name", list(WIDE))
def test_what_is_wide_on_discs_and_tubes_is_accepted_and_no_more(name: str) -> None:
    text = certificate_text(enclose(wide(name), 8))
    tight, shifted = json.loads(text), json.loads(text)
    for entry in tight["result"]["final_params"]:
        entry["rad"][1] -= 2
    for entry in shifted["result"]["decompositions"][0]["contributions"]:
        mid, rad = exact(entry["mid"]), exact(entry["rad"])
        moved = mid + 2 * rad
        entry["mid"] = [moved.numerator, 1 - moved.denominator.bit_length()]

    assert verify_certificate(text).message == "accepted: everything that the certificate states is proved"
    assert "final_params is not proved" in verify_certificate(sign(tight)).message
    assert "contributions is not proved" in verify_certificate(sign(shifted)).message


@pytest.mark.parametrize("place", ["error", "log_norm", "tube"])
@pytest.mark.parametrize("name", ["softplus on a disc", "a factor twice"])
def test_steps_that_claim_a_little_too_much_are_rejected(name: str, place: str) -> None:
    certificate = json.loads(certificate_text(enclose(wide(name), 8)))
    step = certificate["steps"][-1]
    if place == "log_norm":
        step["log_norm"] = [[mantissa - (1 << max(0, -exponent)), exponent] for mantissa, exponent in step["log_norm"]]
    else:
        step[place][1] -= 3 if place == "error" else 10

    assert verify_certificate(sign(certificate)).exit_code == 1
