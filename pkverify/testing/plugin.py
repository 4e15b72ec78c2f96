"""The pytest plugin: a fixture that holds functions against certified numbers, with its options and its report.

It is loaded into every pytest run of an environment that has pkverify, so it imports nothing that takes time.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pkverify.testing.oracle import Oracle

_PROPERTY = "pkverify"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the oracle."""
    group = parser.getgroup("pkverify", "certified decompositions")
    group.addoption("--pkverify-digits", type=int, default=20, help="digits of the certified numbers (20)")
    group.addoption(
        "--pkverify-tolerance", type=float, default=1e-9,
        help="how far a number may be from its ball, relative to max(1, largest number) (1e-9)",
    )  # fmt: skip
    group.addoption("--pkverify-examples", type=int, default=40, help="problems tried for each check (40)")
    group.addoption("--pkverify-report", type=Path, default=None, help="write what was compared here, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "pkverify(digits=..., tolerance=..., examples=...): how the pkverify_oracle fixture of this test checks",
    )


@pytest.fixture
def pkverify_oracle(request: pytest.FixtureRequest) -> Generator[Oracle]:
    """Holds a function against certified numbers: ``pkverify_oracle.check(f, quantity="contributions")``.

    ``f(problem)`` returns the quantity as [query][output][example]. Options on the command line hold for all tests, the
    marker ``pkverify`` for one. What was compared is among the test's properties in a JUnit report.
    """
    from pkverify.testing.oracle import Oracle  # noqa: PLC0415 - only a test that asks for it pays for it

    chosen: dict[str, Any] = {
        name: request.config.getoption(f"--pkverify-{name}") for name in ("digits", "tolerance", "examples")
    }
    marker = request.node.get_closest_marker("pkverify")
    if marker is not None:
        unknown = sorted({*marker.kwargs} - {*chosen})
        if unknown or marker.args:
            wrong = unknown[0] if unknown else marker.args[0]
            pytest.fail(f"@pytest.mark.pkverify does not know {wrong!r}: it has {', '.join(chosen)}", pytrace=False)
        chosen |= marker.kwargs
    oracle = Oracle(chosen["digits"], Fraction(chosen["tolerance"]), chosen["examples"])
    yield oracle
    request.node.user_properties.append((_PROPERTY, json.dumps([asdict(outcome) for outcome in oracle.outcomes])))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Write the report; under xdist the controller does, to which workers send the tests' properties."""
    path: Path | None = config.getoption("--pkverify-report")
    if path is None:
        return
    reports = [report for kind in terminalreporter.stats.values() for report in kind if hasattr(report, "when")]
    results = {report.nodeid: report.outcome for report in reports if report.when == "call"}
    tests = [
        {"test": report.nodeid, "result": results.get(report.nodeid, report.outcome), "checks": json.loads(text)}
        for report in sorted(reports, key=lambda report: report.nodeid)
        for name, text in report.user_properties
        if name == _PROPERTY and report.when == "teardown"
    ]
    path.write_text(json.dumps({"schema": "pkverify.oracle/1", "tests": tests}, indent=1) + "\n", encoding="utf-8")
    terminalreporter.write_line(f"pkverify: what {len(tests)} tests compared is in {path}")
