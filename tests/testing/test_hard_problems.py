"""Problems that were once hard, or wrong: kept as files, and tried on every route and with every relation.

Where a property test finds a problem that fails, ``pkverify.problem_file.write_problem`` makes a file of it for the
folder ``hard_problems``; whatever lies there is tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import pytest

from pkverify.certified.route import decompose_certified
from pkverify.checks.agreement import disagreement
from pkverify.decomposition import Decomposition
from pkverify.network.route import decompose_network
from pkverify.precise.route import decompose_precise
from pkverify.problem import Problem
from pkverify.problem_file import parse_problem, read_problem, write_problem
from pkverify.testing.comparison import mismatch, numbers_of
from pkverify.testing.properties import identity_gap
from pkverify.testing.relations import RELATIONS

FOLDER = Path(__file__).parent / "hard_problems"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def problem(name: str) -> Problem:
    return read_problem(FOLDER / f"{name}.toml")


@cache
def certified(name: str) -> tuple[Decomposition, ...]:
    return decompose_certified(problem(name), 12)


def adds_up(found: Sequence[Decomposition]) -> bool:
    return identity_gap(numbers_of(found)) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_certified_and_the_precise_route_agree(name: str) -> None:
    found = decompose_precise(problem(name), 20)
    assert adds_up(found)
    assert adds_up(certified(name))
    assert disagreement([*certified(name), *found]) is None


@pytest.mark.parametrize("name", NAMES)
def test_other_digits_ask_for_other_steps_and_give_the_same_numbers(name: str) -> None:
    found = decompose_certified(problem(name), 15)
    assert adds_up(found)
    assert disagreement([*certified(name), *found]) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_network_route_agrees(name: str) -> None:
    found = decompose_network(problem(name), digits=8)
    assert adds_up(found)
    assert disagreement([*certified(name), *found]) is None


def relations_hold(name: str, relations: Iterable[str]) -> int:
    """How many relations there are to hold; all of them do."""
    asked = problem(name)
    held = 0
    for relation in relations:
        related = RELATIONS[relation].apply(asked)
        if related is not None:
            expected = related.expected(numbers_of(certified(name)))
            assert mismatch(numbers_of(decompose_certified(related.problem, 12)), expected) is None
            held += 1
    return held


@pytest.mark.parametrize("name", NAMES)
def test_the_strongest_relations_hold(name: str) -> None:
    assert relations_hold(name, ["parameters rotated and shifted", "outputs mapped"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_relation_holds(name: str) -> None:
    assert relations_hold(name, RELATIONS) >= 7


@pytest.mark.parametrize("name", NAMES)
def test_files_are_written_as_they_are_read(name: str) -> None:
    asked = problem(name)
    assert parse_problem(write_problem(asked)) == asked
    assert asked.title
