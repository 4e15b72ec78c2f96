from __future__ import annotations

import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

from pkverify.claims import CLAIMS, HYPOTHESES, Anchor, Claim, claim
from pkverify.claims.record import by_id
from pkverify.errors import InputError

WANTED = {
    "T1", "T1a", "T1b", "T1c", "T1g", "T1i", "T1k", *(f"P{k}" for k in range(1, 13)), "D6b", "D7", "D8", "R3d", "SE",
}  # fmt: skip


def test_every_part_of_the_theorem_is_there() -> None:
    assert CLAIMS.keys() >= WANTED
    assert list(HYPOTHESES) == ["H0", "H1", "H2", "H3", "H4", "H5"]


@pytest.mark.parametrize("each", CLAIMS.values(), ids=CLAIMS.keys())
def test_a_claim_is_complete(each: Claim) -> None:
    assert CLAIMS[each.id] is each
    assert each.title
    assert each.statement
    assert set(each.hypotheses_needed) <= HYPOTHESES.keys()
    assert list(each.hypotheses_needed) == sorted(set(each.hypotheses_needed))
    assert set(each.uses) <= CLAIMS.keys()
    assert each.id not in each.uses


@pytest.mark.parametrize("each", CLAIMS.values(), ids=CLAIMS.keys())
def test_mathematics_is_well_formed_latex(each: Claim) -> None:
    for text in (each.statement, each.remark):
        assert text.count("$") % 2 == 0
        assert text.count("{") == text.count("}")
        assert text.count(r"\left") == text.count(r"\right")
    assert "$" in each.statement


@pytest.mark.parametrize("each", CLAIMS.values(), ids=CLAIMS.keys())
def test_quotes_are_short_and_have_a_place(each: Claim) -> None:
    assert len(each.anchor.quote.split()) <= 12
    assert each.anchor.section or not each.anchor.quote


def test_no_claim_uses_itself_by_a_detour() -> None:
    order = TopologicalSorter({each.id: each.uses for each in CLAIMS.values()}).static_order()

    assert set(order) == CLAIMS.keys()


def test_a_claim_is_found_by_its_id() -> None:
    assert claim("P9").title == "multiplied and divided by the path kernel"


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("t1A", "T1a"), ("P99", "P9"), ("D66b", "D6b"), ("r3d", "R3d"), ("T1'", "T1")]
)
def test_a_wrong_id_names_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(InputError) as caught:
        claim(wrong)

    assert f"no claim {wrong!r}" in str(caught.value)
    assert f"did you mean '{nearest}'" in str(caught.value)


@pytest.mark.parametrize("wrong", ["", "?", "a very long name that is no id"])
def test_a_hopeless_id_is_an_input_error_too(wrong: str) -> None:
    with pytest.raises(InputError):
        claim(wrong)


def test_an_id_cannot_be_taken_twice() -> None:
    one = Claim("X", "title", "$x$", (), (), (), Anchor("", ""))

    with pytest.raises(ValueError, match="two claims are called X"):
        by_id((one, one))


def test_the_registry_needs_no_mathematics_library() -> None:
    code = (
        "import sys, pkverify.claims; print(sorted({'sympy', 'mpmath', 'flint', 'numpy', 'torch'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"
