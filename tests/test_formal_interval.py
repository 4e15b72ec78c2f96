"""Files in which Coq-Interval proves a number: written again they are the same, and a wrong number is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from pkverify.cases import CASES, case_problems
from pkverify.errors import InputError, UntreatableError
from pkverify.formal import ProofError, coq_version, proofs_folder
from pkverify.formal.build import axioms_printed, compile_file
from pkverify.formal.interval import ENCLOSURES, Enclosure, coq_interval_file, enclosure_file
from pkverify.formal.sources import generated_files
from pkverify.problem import Problem
from pkverify.problem_file import read_problem

ROOT = Path(__file__).parent.parent
PROOFS = proofs_folder()

needs_coq = pytest.mark.skipif(coq_version() is None, reason="the proofs are not re-checked here: there is no coqc")


def problem_of(enclosure: Enclosure) -> Problem:
    for case in CASES:
        for name, problem in case_problems(case):
            if name == enclosure.problem:
                return problem
    return read_problem(str(ROOT / "pkverify" / "cases" / "counterexamples" / f"{enclosure.problem}.toml"))


@pytest.mark.parametrize("enclosure", [pytest.param(each, id=each.problem) for each in ENCLOSURES])
def test_generating_again_gives_the_same_text(enclosure: Enclosure) -> None:
    text = enclosure_file(problem_of(enclosure), enclosure)

    assert (PROOFS / "generated" / f"{enclosure.name}.v").read_text(encoding="utf-8") == text


def test_every_generated_file_has_its_enclosure() -> None:
    assert len(ENCLOSURES) >= 3
    assert generated_files(PROOFS) == tuple(sorted(f"generated/{each.name}.v" for each in ENCLOSURES))


def test_a_path_that_stands_still_has_an_enclosure() -> None:
    enclosure = Enclosure("r2b-standstill")

    assert "RInt" in enclosure_file(problem_of(enclosure), enclosure)


def test_a_path_kernel_that_is_zero_has_an_enclosure() -> None:
    enclosure = Enclosure("s11-flat")
    text = enclosure_file(problem_of(enclosure), enclosure)

    assert "-1 / 10 ^ 14\n  <= RInt (fun t => 0) 0 1\n  <= 1 / 10 ^ 14." in text


@pytest.mark.parametrize("enclosure", [Enclosure("ce-a", query=3), Enclosure("ce-a", example=1)])
def test_a_query_that_is_not_there_is_refused(enclosure: Enclosure) -> None:
    with pytest.raises(InputError, match="no such query or example"):
        enclosure_file(problem_of(enclosure), enclosure)


@pytest.mark.parametrize("problem", ["ce-e", "ce-v", "mlp-depth-three"])
def test_what_coq_interval_cannot_be_given_is_refused(problem: str) -> None:
    enclosure = Enclosure(problem)

    with pytest.raises(UntreatableError, match="cannot be given to Coq-Interval"):
        enclosure_file(problem_of(enclosure), enclosure)


TERMS = [
    ("t**2 - 1/2", "((t ^ 2) + (-1 / 2))"),
    ("t**(3/2)", "(sqrt t ^ 3)"),
    ("1/t**2", "(1 / (t ^ 2))"),
    ("exp(-t)*tanh(t)", "((exp ((-1) * t)) * (1 - 2 / (exp (2 * t) + 1)))"),
    ("sigmoid(2*t) + pi", "((/ (1 + exp (- (2 * t)))) + PI)"),
]


@pytest.mark.parametrize(("text", "coq"), TERMS)
def test_terms_in_coq(text: str, coq: str) -> None:
    assert f"(fun t => {coq})" in coq_interval_file("a", text, (Fraction(0), Fraction(1)), Fraction(1))


@pytest.mark.parametrize(
    ("name", "integrand", "low", "complaint"),
    [
        ("A", "t", 0, "no name for a theorem"),
        ("a.b", "t", 0, "no name for a theorem"),
        ("a", "t", 2, "greater than"),
        ("a", "s", 0, "s"),
        ("a", "relu(t)", 0, "relu cannot be given"),
        ("a", "erf(t)", 0, "erf cannot be given"),
        ("a", "t**(1/3)", 0, "power 1/3"),
    ],
)
def test_what_cannot_be_written_is_refused(name: str, integrand: str, low: int, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        coq_interval_file(name, integrand, (Fraction(low), Fraction(1)), Fraction(1))


@pytest.mark.parametrize("comment", ["*) Axiom a : False. (*", "(* open"])
def test_a_comment_cannot_end_early(comment: str) -> None:
    with pytest.raises(InputError, match="comment"):
        coq_interval_file("a", "t", (Fraction(0), Fraction(1)), Fraction(1), comment=comment)


def slow(*values: object) -> object:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("low", "high", "accepted"),
    [
        ("4999/10000", "5001/10000", True),
        ("5001/10000", "5002/10000", False),
        slow("4998/10000", "4999/10000", False),
        slow("1/3", "2/5", False),
        slow("1/2", "1/2", True),  # Taylor models integrate a polynomial exactly
    ],
)
@needs_coq
def test_coq_interval_refuses_a_wrong_enclosure(tmp_path: Path, low: str, high: str, accepted: bool) -> None:
    text = coq_interval_file("a", "t", (Fraction(low), Fraction(high)), Fraction(1))
    (tmp_path / "a.v").write_text(text, encoding="utf-8")

    if accepted:
        assert "PrimInt63.int" in axioms_printed(compile_file("a.v", tmp_path))
    else:
        with pytest.raises(ProofError, match=r"(?s)a\.v does not compile.*Numerical evaluation failed"):
            compile_file("a.v", tmp_path)


@pytest.mark.slow
@needs_coq
def test_one_unit_in_the_last_place_too_far_is_refused(tmp_path: Path) -> None:
    source = (PROOFS / "generated" / "d6b_path_kernel.v").read_text(encoding="utf-8")
    assert source.count("127236912821249 /") == 1
    wrong = source.replace("127236912821249 /", "127236912821253 /").replace("127236912821253 / 10 ^ 13.", "2 * 10.")
    (tmp_path / "a.v").write_text(wrong, encoding="utf-8")

    with pytest.raises(ProofError, match=r"a\.v does not compile"):
        compile_file("a.v", tmp_path)
