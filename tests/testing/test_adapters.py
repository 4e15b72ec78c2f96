"""Other people's attribution code, where it is installed: what is known of it is found without being told."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from pkverify.errors import InputError
from pkverify.testing import conform
from pkverify.testing.conform.peers import PEERS, adapters_of

if TYPE_CHECKING:
    from pkverify.testing.conform.report import ConformanceReport

# A mistake that is known of a peer: the adapter, the relation that must show it, the words of the note, and the size.
KNOWN = [
    ("captum", "captum TracInCPFast", "every bias", "without the last layer's bias", 1e-2, 1.0),
    ("captum", "captum TracInCPFast", "agreement", "without the last layer's bias", 1e-2, 1.0),
    ("dattri", "dattri TracIn", "orthogonal", "", 1e-2, 1.0),
    ("dattri", "dattri TracIn", "agreement", "", 5e-2, 0.5),
    ("dattri", "dattri TracIn", "precision", "float32", 1e-8, 1e-6),
    ("dattri", "dattri TracIn, unprojected", "precision", "float32", 1e-8, 1e-6),
    ("dattri", "dattri TracIn, unprojected", "agreement", "single precision", 1e-9, 1e-6),
    ("explaind", "explaind", "runs", "tasks", 0.99, 1.0),
    ("explaind", "explaind, cast to float32", "precision", "float32", 1e-8, 1e-6),
    ("explaind", "explaind, cast to float32, its own buffers", "completeness", "", 1e-6, 1e-2),
    ("trak", "TRAK", "runs", "tasks", 1e-3, 1.0),
    ("trak", "TRAK, unprojected", "orthogonal", "", 1e-4, 1.0),
    ("trak", "TRAK, unprojected", "precision", "float32", 1e-8, 1e-6),
]

RIGHT = [
    ("captum", "captum TracInCP"),
    ("captum", "captum TracInCP, by batch"),
    ("neural-tangents", "neural-tangents, Jacobian contraction"),
    ("neural-tangents", "neural-tangents, NTK vector products"),
    ("neural-tangents", "neural-tangents, structured derivatives"),
    ("neural-tangents", "neural-tangents, loss"),
    ("neural-tangents", "neural-tangents, kernel"),
]

# How far off, at most, the larger tasks are, where a peer follows all kinds of runs to its precision.
RUNS = [
    ("captum", "captum TracInCP", 1e-13),
    ("captum", "captum TracInCP, by batch", 1e-13),
    ("dattri", "dattri TracIn, unprojected", 1e-5),
    ("explaind", "explaind, cast to float32", 1e-4),
    ("neural-tangents", "neural-tangents, structured derivatives", 1e-13),
]


def adapter_of(peer: str, name: str) -> conform.Adapter:
    try:
        found = adapters_of(peer)
    except InputError as error:
        pytest.skip(f"{peer}: {error.what}; {error.fix}")
    (one,) = (adapter for adapter in found if adapter.name == name)
    return one


@cache
def report_of(peer: str, name: str) -> ConformanceReport:
    """One check for all tests of an adapter."""
    known = {relation for _, who, relation, *_ in KNOWN if who == name and relation != "runs"}
    if (peer, name) in RIGHT:
        known |= {"agreement", "batch size", "orthogonal", "every bias", "every step", "precision"}
    if name in {who for _, who, _ in RUNS}:
        known.add("agreement")
    return conform.check(adapter_of(peer, name), relations=known, examples=2, seconds=0.3)


@pytest.mark.parametrize(
    ("peer", "name", "relation", "note", "least", "most"), KNOWN, ids=[f"{k[1]}: {k[2]}" for k in KNOWN]
)
def test_what_is_known_to_be_wrong_is_found(
    peer: str, name: str, relation: str, note: str, least: float, most: float
) -> None:
    report = report_of(peer, name)
    finding = report.finding(relation)

    assert report.exit_code == 1
    assert finding.verdict == "fails"
    assert note in finding.note
    assert least <= finding.size <= most


@pytest.mark.parametrize(("peer", "name"), RIGHT, ids=[r[1] for r in RIGHT])
def test_what_is_right_conforms(peer: str, name: str) -> None:
    report = report_of(peer, name)

    assert report.exit_code == 0, report.text()


@pytest.mark.parametrize(("peer", "name", "most"), RUNS, ids=[r[1] for r in RUNS])
def test_minibatches_momentum_and_convolutions_are_followed(peer: str, name: str, most: float) -> None:
    report = report_of(peer, name)
    tried = [run for run in report.runs if run.verdict != "not applicable"]

    assert {"minibatches", "minibatches, mean over the batch", "momentum", "convolution"} <= {r.name for r in tried}
    assert max(run.fit for run in tried) < most


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_has_adapters_or_says_that_it_is_missing(peer: str) -> None:
    try:
        found, missing = adapters_of(peer), None
    except InputError as error:
        found, missing = (), error

    assert all(adapter.version for adapter in found)
    assert bool(found) != (missing is not None and missing.fix.startswith("pip install"))
