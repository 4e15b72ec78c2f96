"""pkverify: verification of the path-kernel decomposition of models trained by gradient descent.

A model trained by gradient flow satisfies ``y_T(x) = y_0(x) - sum_i integral L'_i K_t(x, x_i) dt`` (Domingos, 2020).
pkverify derives this in closed form for small models, checks each step of its proof, and computes it to any number of
digits. The names below are loaded when they are first used, so that importing the package stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pkverify.api import check, decompose, derive, plot, report
    from pkverify.decomposition import Decomposition
    from pkverify.errors import FlowError, InputError, PkverifyError, UntreatableError
    from pkverify.evidence import Evidence, Run, Verdict
    from pkverify.expression import parse_expression
    from pkverify.losses import Loss
    from pkverify.models import ExpressionModel, LayeredModel
    from pkverify.problem import Dataset, Problem, Regularizer
    from pkverify.problem_file import parse_problem, read_problem, write_problem

__version__ = "0.1.0"

_HOME = {
    "check": "api",
    "decompose": "api",
    "derive": "api",
    "plot": "api",
    "report": "api",
    "Decomposition": "decomposition",
    "Evidence": "evidence",
    "Run": "evidence",
    "Verdict": "evidence",
    "FlowError": "errors",
    "InputError": "errors",
    "PkverifyError": "errors",
    "UntreatableError": "errors",
    "parse_expression": "expression",
    "Loss": "losses",
    "ExpressionModel": "models",
    "LayeredModel": "models",
    "Dataset": "problem",
    "Problem": "problem",
    "Regularizer": "problem",
    "parse_problem": "problem_file",
    "read_problem": "problem_file",
    "write_problem": "problem_file",
}

__all__ = [
    "Dataset",
    "Decomposition",
    "Evidence",
    "ExpressionModel",
    "FlowError",
    "InputError",
    "LayeredModel",
    "Loss",
    "PkverifyError",
    "Problem",
    "Regularizer",
    "Run",
    "UntreatableError",
    "Verdict",
    "__version__",
    "check",
    "decompose",
    "derive",
    "parse_expression",
    "parse_problem",
    "plot",
    "read_problem",
    "report",
    "write_problem",
]


# Rooms that users name: pk.network.record(...), pk.testing.oracle(...).
_ROOMS = ("figures", "network", "testing")


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
