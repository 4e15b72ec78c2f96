"""Texts that are no certificates: each is refused in one line, quickly, and never with a traceback."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from pkverify.certified import verifier
from pkverify.certified.verifier import verify_certificate
from tests.certified.forge import forge, formula, model, problem, sign

LINE = problem(model("linear", [1, 1], bias=False), "squared", [["1"]], [["1"]], ["1/3"], "1")
MADE = forge(LINE, steps=2, order=16, disc=8, tube=-20, log_norm=0)
TEXT = sign(MADE)
CURVE = problem(formula(["w"], ["x"], "w*x"), "squared", [["1"]], [["1"]], ["1/3"], "1")

TEXTS = {
    "empty": ("", "JSONDecodeError"),
    "no JSON": ("certificate", "JSONDecodeError"),
    "cut": (TEXT[:-9], "JSONDecodeError"),
    "list": ("[]", "certificate is no object"),
    "number": ("7", "certificate is no object"),
    "no field": ("{}", "['precision'] is missing"),
    "deep": ("[" * 100_000, "RecursionError"),
    "deep formula": ('{"a":' * 100_000, "RecursionError"),
    "twice": (TEXT.replace('"title": "forged"', '"title": "forged", "title": "other"'), "a key twice"),
    "twice outside": (TEXT.replace("{", '{"schema": "x", ', 1), "a key twice"),
    "surrogate": (TEXT.replace("forged", "\\ud800"), "sha256"),
    "long integer": (TEXT.replace('"precision": 128', '"precision": ' + "9" * 5000), "ValueError"),
}


@pytest.mark.parametrize("name", list(TEXTS))
def test_text_that_is_no_certificate(name: str) -> None:
    text, complaint = TEXTS[name]
    verdict = verify_certificate(text)

    assert verdict.exit_code == (1 if name == "surrogate" else 2)
    assert complaint in verdict.message
    assert "\n" not in verdict.message


STEP, BALL = ("steps", 0), ("result", "decompositions", 0)
FIELDS: list[tuple[tuple[Any, ...], Any]] = [
    (("schema",), "pkverify.certificate/2"),
    (("schema",), None),
    (("precision",), 128.0),
    (("precision",), float("nan")),
    (("precision",), True),
    (("precision",), 0),
    (("precision",), -128),
    (("precision",), 10**9),
    (("problem",), []),
    (("problem", "extra"), 1),
    (("problem", "title"), 7),
    (("problem", "horizon"), "0"),
    (("problem", "horizon"), "-1"),
    (("problem", "horizon"), 1),
    (("problem", "horizon"), "1.0"),
    (("problem", "horizon"), "1e3"),
    (("problem", "horizon"), "1/0"),
    (("problem", "horizon"), "1/00"),
    (("problem", "horizon"), "inf"),
    (("problem", "horizon"), "\u0661"),  # a digit, but not of ours
    (("problem", "horizon"), "9" * 4002),
    (("problem", "initial"), []),
    (("problem", "initial"), ["1", "1"]),
    (("problem", "initial"), "1/4"),
    (("problem", "queries"), []),
    (("problem", "queries"), [["1", "2"]]),
    (("problem", "data"), {"x": [["1"]]}),
    (("problem", "data", "x"), []),
    (("problem", "data", "x"), [[]]),
    (("problem", "data", "x"), [["1"], ["2"]]),
    (("problem", "data", "y"), [[]]),
    (("problem", "data", "y"), [["1", "2"]]),
    (("problem", "model"), None),
    (("problem", "model", "kind"), "tree"),
    (("problem", "model", "kind"), ["linear"]),
    (("problem", "model", "kind"), "mlp"),
    (("problem", "model", "layers"), [1]),
    (("problem", "model", "layers"), [1, 1, 1]),
    (("problem", "model", "layers"), [100_000, 100_000]),
    (("problem", "model", "layers"), [1, 0]),
    (("problem", "model", "bias"), 0),
    (("problem", "model", "activation"), "tanh"),
    (("problem", "loss", "kind"), "hinge"),
    (("problem", "loss", "kind"), "expression"),
    (("problem", "loss", "value"), "y"),
    (("problem", "loss", "reduction"), "max"),
    (("problem", "regularizer"), {}),
    (("problem", "regularizer"), {"value": "0", "strength": "0"}),
    (("problem", "regularizer"), {"value": "w"}),
    (("steps",), []),
    (("steps",), {}),
    (STEP, None),
    ((*STEP, "order"), 0),
    ((*STEP, "order"), 10**6),
    ((*STEP, "polynomial"), []),
    ((*STEP, "polynomial"), [[]]),
    ((*STEP, "polynomial", 0, 0), [1]),
    ((*STEP, "polynomial", 0, 0), [1, 2, 3]),
    ((*STEP, "polynomial", 0, 0), 0.5),
    ((*STEP, "polynomial", 0, 0), [0.5, 0]),
    ((*STEP, "polynomial", 0, 0), ["1", 0]),
    ((*STEP, "polynomial", 0, 0), [True, 0]),
    ((*STEP, "polynomial", 0, 0), [1, 10**7]),
    ((*STEP, "polynomial", 0, 0), [1, -(10**7)]),
    ((*STEP, "polynomial", 0, 0), [1 << 14_200, 0]),
    ((*STEP, "disc"), float("inf")),
    ((*STEP, "tube"), None),
    ((*STEP, "log_norm"), []),
    ((*STEP, "error"), float("nan")),
    (("result",), {}),
    (("result", "final_params"), []),
    (("result", "final_params", 0), [0, 0]),
    ((*BALL, "query"), 1),
    ((*BALL, "output"), "0"),
    ((*BALL, "contributions"), []),
    ((*BALL, "path_kernel"), [[]]),
    ((*BALL, "path_kernel"), []),
    ((*BALL, "residual"), {"mid": [0, 0]}),
    ((*BALL, "residual"), {"mid": [0, 0], "rad": float("nan")}),
]


@pytest.mark.parametrize(("path", "value"), FIELDS, ids=map(str, range(len(FIELDS))))
def test_fields_of_the_wrong_kind(path: tuple[Any, ...], value: Any) -> None:
    certificate = copy.deepcopy(MADE)
    place: Any = certificate
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    verdict = verify_certificate(sign(certificate))

    # A mantissa of 14200 bits can be read, and is wrong.
    assert verdict.exit_code == (1 if value == [1 << 14_200, 0] else 2), verdict.message
    assert "\n" not in verdict.message
    assert verdict.proved == ()


@pytest.mark.parametrize("place", [(), ("problem",), ("problem", "data"), STEP, ("result",), BALL], ids=str)
def test_no_field_may_be_missing(place: tuple[Any, ...]) -> None:
    whole: Any = json.loads(TEXT)
    for key in place:
        whole = whole[key]
    for missing in whole:
        certificate = json.loads(TEXT)
        inner = certificate
        for key in place:
            inner = inner[key]
        del inner[missing]
        verdict = verify_certificate(json.dumps(certificate) if missing == "sha256" else sign(certificate))

        assert verdict.exit_code == 2
        assert f"['{missing}'] is missing or unknown" in verdict.message


FORMULAS = [
    "", " ", "w*", "*w", "w w", "w x", "(w", "w)", "()", "w**", "2w", "w^2", "w,x", "f(w)", "exp w", "exp", "exp()",
    "__import__('os')", "w.real", "w[0]", "lambda: w", "w if x else w", "w\u00d7x", "\uff57", "'w'", "0x10", "1_000",
    "y", "target", "w/0", "w/(1-1)", "0**-1", "w**1001", "w**(1/1001)", "9**9**9", "w*" + "9" * 5000, "1e99999*w",
    "w*(1e9999*1e9999)", "(" * 200 + "w" + ")" * 200, "-" * 100_000 + "w", "w" + "+w" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS, ids=map(str, range(len(FORMULAS))))
def test_formulas_outside_the_grammar(text: str) -> None:
    certificate = MADE | {"problem": CURVE | {"model": formula(["w"], ["x"], text)}}
    verdict = verify_certificate(sign(certificate))

    assert verdict.exit_code == 2, verdict.message
    assert "\n" not in verdict.message
    assert len(verdict.message) < 200


@pytest.mark.parametrize(
    ("params", "inputs"),
    [
        (["w"], ["w"]),
        (["exp"], ["x"]),
        (["pi"], ["x"]),
        (["relu"], ["x"]),
        (["w w"], ["x"]),
        (["1/"], ["x"]),
        ([7], ["x"]),
    ],
    ids=str,
)
def test_names_must_be_told_apart(params: list[Any], inputs: list[str]) -> None:
    certificate = MADE | {"problem": CURVE | {"model": formula(params, inputs, "1")}}

    assert verify_certificate(sign(certificate)).exit_code == 2


def test_too_much_work_is_refused() -> None:
    certificate = copy.deepcopy(MADE)
    certificate["precision"] = 16_000
    certificate["steps"][0]["order"] = 10_000
    certificate["problem"]["data"] = {"x": [["1"]] * 2000, "y": [["1"]] * 2000}

    assert verify_certificate(sign(certificate)).message == "unreadable: step 0: the certificate asks for too much work"


def test_a_problem_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "MOST_OPERATIONS", 20)

    assert verify_certificate(TEXT).message == "unreadable: the problem is too large"


def test_one_certificate_does_not_spend_the_operations_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier.Jet, "operations", 10**9)

    assert verify_certificate(TEXT).exit_code == 0
