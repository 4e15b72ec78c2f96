"""The formal proof: the table agrees with the sources, and a build that should fail does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pkverify.claims import CLAIMS, HYPOTHESES
from pkverify.errors import InputError, UntreatableError
from pkverify.exact.proof_steps import prove
from pkverify.formal import (
    Discharge,
    FormalTheorem,
    Kind,
    ProofError,
    Standing,
    build_proofs,
    coq_version,
    formal_statement,
    formal_theorem,
    formal_theorems,
    open_hypotheses,
    proof_state,
    proofs_folder,
    theorems_of,
)
from pkverify.formal.build import axioms_printed
from pkverify.formal.sources import (
    FORBIDDEN,
    RECORD,
    forbidden_words,
    generated_files,
    recorded_files,
    theory_files,
    without_comments,
)

ROOT = Path(__file__).parent.parent
PROOFS = proofs_folder()
THEOREMS = [pytest.param(each, id=each.name) for each in formal_theorems()]

# Those whose hypotheses the table gives in full, and that do not stand in a section.
LISTED = {each.name for each in formal_theorems() if each.hypotheses} - {"T1b_limit", "T1b_bound"}

needs_coq = pytest.mark.skipif(coq_version() is None, reason="the proofs are not re-checked here: there is no coqc")


def one_line(text: str) -> str:
    return " ".join(without_comments(text).split())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the sources, to be sabotaged."""
    for name in (*recorded_files(PROOFS), RECORD):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(PROOFS / name, tmp_path / name)
    return tmp_path


# The table and the sources.


@pytest.mark.parametrize("theorem", THEOREMS)
def test_every_theorem_stands_in_its_file(theorem: FormalTheorem) -> None:
    assert re.match(rf"(Theorem|Lemma|Corollary) {theorem.name}\b", formal_statement(theorem))
    assert theorem.file in theory_files(PROOFS)


@pytest.mark.parametrize("theorem", THEOREMS)
def test_every_claim_is_in_the_registry(theorem: FormalTheorem) -> None:
    assert theorem.claims
    assert set(theorem.claims) <= CLAIMS.keys()


@pytest.mark.parametrize("theorem", THEOREMS)
def test_every_hypothesis_is_in_the_statement(theorem: FormalTheorem) -> None:
    # The hypotheses of a theorem of a section stand at the head of the section.
    in_section = any(each.formal.startswith("Hypothesis ") for each in theorem.hypotheses)
    text = (PROOFS / theorem.file).read_text(encoding="utf-8") if in_section else formal_statement(theorem)

    assert [each.formal for each in theorem.hypotheses if one_line(each.formal) not in one_line(text)] == []


def premises(statement: str) -> list[str]:
    """What stands before the arrows of a statement, outside of brackets."""
    depth, parts, text = 0, [""], one_line(statement)
    begin = next(at for at, mark in enumerate(text) if mark == ":" and text[:at].count("(") == text[:at].count(")"))
    for token in re.split(r"([()]| -> )", text[begin + 1 :]):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == " -> " and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return [" ".join(part.rpartition(" in ")[2].split()) for part in parts[:-1]]


def unlisted(theorem: FormalTheorem, listed: list[str]) -> list[str]:
    found = premises(formal_statement(theorem))
    return [premise for premise in found if not any(part in premise for part in listed)]


@pytest.mark.parametrize("theorem", [each for each in THEOREMS if each.id in LISTED])
def test_every_premise_is_in_the_table(theorem: FormalTheorem) -> None:
    listed = [one_line(each.formal) for each in theorem.hypotheses]

    assert len(premises(formal_statement(theorem))) >= 2
    assert unlisted(theorem, listed) == []
    # Nothing is listed twice over: without any one of them a premise is missing.
    assert all(unlisted(theorem, [part for part in listed if part != gone]) for gone in listed)


def test_premises_are_told_apart() -> None:
    assert premises("Theorem a (n : nat) : let y := 2 in 0 < n -> (n = 1 -> y = 2) -> n = y.") == [
        "0 < n",
        "(n = 1 -> y = 2)",
    ]


def test_hypotheses_carry_ids_of_the_registry() -> None:
    known = {*HYPOTHESES, *CLAIMS, "M", "Lambda", "rho", "bounds", "F", "eps"}

    assert {each.id for theorem in formal_theorems() for each in theorem.hypotheses} <= known


def test_the_theorem_itself_needs_what_the_paper_leaves_out() -> None:
    theorem = formal_theorem("theorem_1")

    assert {"H0", "H2", "H3", "H5", "M", "Lambda", "rho"} == {each.id for each in theorem.hypotheses}
    assert {"H2", "H3", "M", "Lambda", "rho"} == {each.id for each in theorem.to_discharge}


@pytest.mark.parametrize("name", ["T1_identity", "R4a", "T1a_ratio", "T1c_average", "SE", "E1"])
def test_what_balls_must_discharge_is_said(name: str) -> None:
    assert all(each.by and each.meaning for each in formal_theorem(name).hypotheses)
    assert formal_theorem(name).to_discharge


def test_nothing_about_a_concrete_model_has_hypotheses() -> None:
    concrete = [each for each in formal_theorems() if each.kind is not Kind.PROOF]

    assert len(concrete) == 7
    assert all(each.hypotheses == () for each in concrete)


def test_assumptions_are_printed_for_every_theorem() -> None:
    printed = set(re.findall(r"@(\w+)", (PROOFS / "Assumptions.v").read_text(encoding="utf-8")))

    assert {each.name for each in formal_theorems()} <= printed


def test_the_assumptions_are_the_four_of_the_classical_reals() -> None:
    assert (PROOFS / "assumptions.txt").read_text(encoding="utf-8").split() == [
        "ClassicalDedekindReals.sig_forall_dec",
        "ClassicalDedekindReals.sig_not_dec",
        "Classical_Prop.classic",
        "FunctionalExtensionality.functional_extensionality_dep",
    ]


def test_generated_files_add_primitive_integers_alone() -> None:
    listed = {*(PROOFS / "generated" / "assumptions.txt").read_text(encoding="utf-8").split()}
    more = listed - {*(PROOFS / "assumptions.txt").read_text(encoding="utf-8").split()}

    assert {name.partition(".")[0] for name in more} == {"PrimInt63", "Uint63"}


def test_the_files_of_the_project_are_the_files_there_are() -> None:
    present = {path.name for path in PROOFS.glob("*.v")}

    assert present == {*theory_files(PROOFS), "Assumptions.v"}


def test_nothing_is_taken_on_trust() -> None:
    files = (*theory_files(PROOFS), "Assumptions.v", *generated_files(PROOFS))

    assert {name: forbidden_words((PROOFS / name).read_text(encoding="utf-8")) for name in files} == dict.fromkeys(
        files, ()
    )


def test_no_theorem_imports_a_generated_file() -> None:
    text = "".join(without_comments((PROOFS / name).read_text(encoding="utf-8")) for name in theory_files(PROOFS))

    assert "generated" not in text
    assert "Interval" not in text


def test_the_head_of_each_file_says_what_it_carries() -> None:
    for name in theory_files(PROOFS):
        head = (PROOFS / name).read_text(encoding="utf-8").split("*)")[0]

        assert head.startswith("(* "), name
        assert "Carries:" in head, name


def test_the_readme_lists_every_file_and_points_at_the_theorem() -> None:
    text = (PROOFS / "README.md").read_text(encoding="utf-8")

    assert [name for name in (*theory_files(PROOFS), "Assumptions.v") if f"`{name}`" not in text] == []
    assert "[`Theorem1.v`](Theorem1.v)" in text


def test_the_page_quotes_the_sources() -> None:
    page = (ROOT / "docs" / "formal-proof.md").read_text(encoding="utf-8")
    quotes = re.findall(r"^```coq\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    files = (*theory_files(PROOFS), *generated_files(PROOFS))
    sources = [(PROOFS / name).read_text(encoding="utf-8") for name in files]

    assert len(quotes) > 15
    assert [quote for quote in quotes if not any(quote in source for source in sources)] == []
    # All of theorem_1 is on the page, in its order.
    statement = formal_statement(formal_theorem("theorem_1"))
    assert "".join(quote for quote in quotes if quote in statement + "\n").strip() == statement


def test_names_in_prose_are_names_of_theorems() -> None:
    page = (ROOT / "docs" / "formal-proof.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:T1b_needs|CE_A|R4a|R5a|T1k|theorem)\w*)`", page))

    assert named <= {each.name for each in formal_theorems()}
    assert named


def test_theorems_of_a_claim() -> None:
    assert [each.name for each in theorems_of("T1")] == ["T1_identity", "R4a"]
    assert [each.name for each in theorems_of("T1a")][:3] == ["theorem_1_flow", "T1a_ratio", "CE_A"]
    assert theorems_of("T1b")[0].name == "theorem_1"
    assert theorems_of("S13") == ()


@pytest.mark.parametrize(
    ("name", "known", "left"),
    [
        ("T1_identity", {"H0", "H2", "H5"}, []),
        ("T1_identity", {"H0", "H5"}, ["H2"]),
        ("T1_identity", {"H2", "H5"}, ["H0"]),
        ("T1a_ratio", {"H0", "H2", "H5"}, ["T1", "H3"]),
        ("T1a_ratio", {"T1"}, ["H3"]),
        ("T1c_average", {"H0", "H2", "H3", "H5"}, ["H4", "bounds"]),
        ("theorem_1", {"H0", "H2", "H3", "H5", "M", "Lambda"}, ["rho"]),
        ("theorem_1", {"H0", "H2", "H3", "M", "Lambda", "rho"}, ["H5"]),
        ("theorem_1", {"H0", "H2", "H3", "H5", "M", "Lambda", "rho"}, []),
        ("R3d", {"H2", "H5"}, ["H0", "H0", "H0"]),
    ],
)
def test_what_is_not_known_is_left_open(name: str, known: set[str], left: list[str]) -> None:
    assert [each.id for each in open_hypotheses(formal_theorem(name), known)] == left


@pytest.mark.parametrize("name", ["theorem", "T1", "Theorem_1", ""])
def test_an_unknown_theorem_names_the_nearest(name: str) -> None:
    with pytest.raises(InputError, match="did you mean"):
        formal_theorem(name)


def test_a_statement_that_is_gone_is_missed(copy: Path) -> None:
    path = copy / "Kernel.v"
    path.write_text(path.read_text(encoding="utf-8").replace("Theorem D6b ", "Theorem D6c "), encoding="utf-8")

    with pytest.raises(InputError, match="no theorem D6b"):
        formal_statement(formal_theorem("D6b"), copy)


# The recorded hash.


def test_the_sources_are_those_whose_check_was_recorded() -> None:
    state = proof_state()

    assert (state.standing, state.files) == (Standing.RECORDED, ())
    assert "not re-checked here" in str(state)


@pytest.mark.parametrize("name", ["Theorem1.v", "assumptions.txt", "_CoqProject", "Assumptions.v"])
def test_one_more_space_is_a_difference(copy: Path, name: str) -> None:
    (copy / name).write_text((copy / name).read_text(encoding="utf-8") + " ", encoding="utf-8")

    assert (proof_state(copy).standing, proof_state(copy).files) == (Standing.DIFFERENT, (name,))


def test_a_missing_and_a_new_file_are_differences(copy: Path) -> None:
    (copy / "Kernel.v").unlink()
    (copy / "generated" / "new.v").write_text("Check 1.", encoding="utf-8")

    assert proof_state(copy).files == ("Kernel.v", "generated/new.v")


def test_without_a_record_nothing_is_claimed(copy: Path) -> None:
    (copy / RECORD).unlink()

    assert proof_state(copy).standing is Standing.DIFFERENT


# What is taken on trust, as text.

TRUSTING = [
    ("Lemma a : False. Admitted.", "Admitted"),
    ("Proof. admit. Qed.", "admit"),
    ("Axiom a : False.", "Axiom"),
    ("Parameter a : nat.", "Parameter"),
    ("Conjecture a : False.", "Conjecture"),
    ("Unset Guard Checking.", "Unset"),
    ('Declare ML Module "x".', "Declare"),
    ("(* Proof *) Admitted. (* Qed *)", "Admitted"),
    ("(* a (* b *) c *) Axiom a : False.", "Axiom"),
]


@pytest.mark.parametrize(("source", "word"), TRUSTING)
def test_words_of_trust_are_found(source: str, word: str) -> None:
    assert forbidden_words(f"Check 1.\n{source}") == ((2, word),)


@pytest.mark.parametrize(
    "source", ["(* Axiom *) Check a.", "Check admittance.", "(* (* *) Admitted *)", "Print Assumptions Axiomatic."]
)
def test_harmless_words_are_not(source: str) -> None:
    assert forbidden_words(source) == ()


def test_axioms_are_read_from_what_coq_prints() -> None:
    printed = "Axioms:\nA.b : forall P : Prop,\n  {P} +\n  {~ P}\nc\n  : nat\nClosed under the global context\n"

    assert axioms_printed(printed) == ("A.b", "c")


def test_make_refuses_the_same_words() -> None:
    makefile = (PROOFS / "Makefile").read_text(encoding="utf-8")
    pattern = re.compile(next(iter(re.findall(r"grep -nwE '([^']+)'", makefile))))

    assert [word for word in FORBIDDEN if not pattern.fullmatch(word)] == []
    assert not pattern.fullmatch("Theorem")


# Building.


def axioms_listed(folder: Path) -> tuple[str, ...]:
    return tuple((folder / "assumptions.txt").read_text(encoding="utf-8").split())


def sabotage(folder: Path, name: str, old: str, new: str) -> None:
    source = (folder / name).read_text(encoding="utf-8")

    assert source.count(old) == 1
    (folder / name).write_text(source.replace(old, new), encoding="utf-8")


def shorten(folder: Path) -> None:
    """Leave one file of the theory, and the assumptions of one theorem: enough to fail within seconds."""
    (folder / "_CoqProject").write_text("-Q . PathKernel\nEuclidean.v\n", encoding="utf-8")
    (folder / "Assumptions.v").write_text(
        "From PathKernel Require Import Euclidean.\nPrint Assumptions P3_chain_rule.\n", encoding="utf-8"
    )
    # No excluded middle in the chain rule.
    listed = [name for name in axioms_listed(folder) if name != "Classical_Prop.classic"]
    (folder / "assumptions.txt").write_text("\n".join(listed), encoding="utf-8")
    for path in (folder / "generated").glob("*.v"):
        path.unlink()


def test_without_coq_the_build_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(UntreatableError, match="there is no coqc") as caught:
        build_proofs()
    assert "apt-get install" in caught.value.fix


@pytest.mark.parametrize("trusting", ["Lemma l : False. Admitted.", "Axiom l : False.", "Parameter l : nat."])
@needs_coq
def test_a_word_of_trust_stops_the_build_before_coq(copy: Path, trusting: str) -> None:
    sabotage(copy, "Kernel.v", "Open Scope R_scope.\n", f"Open Scope R_scope.\n{trusting}\n")

    with pytest.raises(ProofError, match=r"Kernel\.v, line 9: (Admitted|Axiom|Parameter)\n"):
        build_proofs(folder=copy)


@needs_coq
def test_a_short_build_stands(copy: Path) -> None:
    shorten(copy)
    seen: list[tuple[str, int, int]] = []
    build = build_proofs(lambda *at: seen.append(at), folder=copy)

    assert build.assumptions == axioms_listed(copy)
    assert (build.standing, build.generated_assumptions) == (Standing.CHECKED_NOW, ())
    assert seen == [("Euclidean.v", 0, 2), ("Assumptions.v", 1, 2), ("", 2, 2)]
    assert not list(copy.glob("*.vo"))


@needs_coq
def test_a_false_statement_does_not_compile(copy: Path) -> None:
    shorten(copy)
    sabotage(copy, "Euclidean.v", "Lemma dot_pos u : 0 <= dot u u.", "Lemma dot_pos u : 0 < dot u u.")

    with pytest.raises(ProofError, match=r"Euclidean\.v does not compile"):
        build_proofs(folder=copy)


@needs_coq
def test_an_axiom_in_other_words_is_an_extra_assumption(copy: Path) -> None:
    # Outside of a section, a variable is an axiom.
    shorten(copy)
    sabotage(
        copy,
        "Assumptions.v",
        "Print Assumptions P3_chain_rule.",
        "Variable wish : 0 = 1.\nPrint Assumptions wish.\nPrint Assumptions P3_chain_rule.",
    )

    with pytest.raises(ProofError, match=r"rest on more than assumptions\.txt lists: wish"):
        build_proofs(folder=copy)


@needs_coq
def test_a_list_that_is_too_long_is_refused(copy: Path) -> None:
    shorten(copy)
    (copy / "assumptions.txt").write_text("Extra.axiom\n" + "\n".join(axioms_listed(copy)), encoding="utf-8")

    with pytest.raises(ProofError, match=r"Extra\.axiom is not used"):
        build_proofs(folder=copy)


@pytest.mark.slow
@needs_coq
def test_all_proofs_compile_and_rest_on_the_recorded_assumptions() -> None:
    build = build_proofs()

    assert build.assumptions == axioms_listed(PROOFS)
    assert build.files == (*theory_files(PROOFS), "Assumptions.v", *generated_files(PROOFS))


def test_discharge_says_how() -> None:
    assert {each.discharge for each in formal_theorem("T1_identity").hypotheses} == {*Discharge} - {Discharge.THEOREM}


@pytest.mark.parametrize("claim", ["P2", "T1b"])
def test_what_is_cited_for_eulers_method_names_theorems_that_stand(claim: str) -> None:
    (cited,) = [each for each in prove(claim).hypotheses if each.id == "cited"]
    named = re.search(r"proved formally by (\w+) and (\w+) in proofs/(\w+\.v)", cited.message)

    assert named
    assert {named[1], named[2]} <= {each.name for each in theorems_of(claim) if each.file == named[3]}
