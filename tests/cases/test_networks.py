from __future__ import annotations

import csv
from importlib import resources

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from pkverify.cases import CASES, NETWORKS, case_networks
from pkverify.checks.network.size import of_real_size
from pkverify.errors import InputError
from pkverify.problem import Problem

FOLDER = resources.files("pkverify.cases") / "networks"
ALL = {name: problem for case in NETWORKS for name, problem in case_networks(case)}


def table(file: str) -> dict[str, np.ndarray]:
    header, *rows = csv.reader((FOLDER / file).read_text(encoding="utf-8").splitlines())
    return dict(zip(header, np.array(rows, dtype=float).T, strict=True))


def test_every_case_has_one_and_every_file_is_used() -> None:
    assert NETWORKS.keys() == CASES.keys()
    assert {f.name for f in FOLDER.iterdir() if f.name.endswith(".toml")} == {f"{name}.toml" for name in ALL}
    assert {f.name for f in FOLDER.iterdir() if f.name.endswith(".csv")} == {"digits.csv", "breast-cancer.csv"}
    with pytest.raises(InputError, match="case 'quadratic' is not known"):
        case_networks("quadratic")


@pytest.mark.parametrize("name", ALL)
def test_networks_are_of_real_size_and_well_scaled(name: str) -> None:
    problem: Problem = ALL[name]
    inputs = np.array(problem.data.inputs, dtype=float)

    assert of_real_size(problem)
    assert problem.title
    assert problem.loss.reduction == "mean"
    assert len(problem.query_inputs) in {3, 4}
    assert not set(problem.query_inputs) & set(problem.data.inputs)
    assert np.abs(inputs).max() < 15
    # Short decimals: the same problem on every machine, with no generator of random numbers in between.
    assert all(1000 % v.denominator == 0 for v in problem.initial)


def test_digits_are_those_of_the_source() -> None:
    source, columns = load_digits(), table("digits.csv")
    pixels = np.array([columns[f"p{r}{c}"] for r in range(8) for c in range(8)]).T

    assert np.array_equal(pixels * 16, source.data[:400])
    assert np.array_equal(columns["digit"], source.target[:400])
    assert np.array_equal(columns["parity"], 1 - 2 * (source.target[:400] % 2))
    for name in ("mlp-digits", "xent-digits"):
        queries = np.array(ALL[name].query_inputs, dtype=float)
        assert np.array_equal(queries * 16, source.data[400:404])


def test_masses_are_those_of_the_source() -> None:
    source, columns = load_breast_cancer(), table("breast-cancer.csv")
    scaled = (source.data - source.data.mean(0)) / source.data.std(0)
    found = np.array([columns[str(name).replace(" ", "_")] for name in source.feature_names]).T

    assert np.abs(found - scaled[:566]).max() <= 0.005 + 1e-12
    assert np.array_equal(columns["malignant"], 1 - 2 * source.target[:566])
    queries = np.array(ALL["linear-breast-cancer"].query_inputs, dtype=float)
    assert np.abs(queries - scaled[566:]).max() <= 0.005 + 1e-12


def test_classes_are_sorted_digits() -> None:
    assert ALL["xent-digits"].data.classes == tuple("0123456789")
