"""The named cases ``linear``, ``mlp`` and ``xent``: small problems, some with closed forms, some with real data."""

from __future__ import annotations

from importlib import resources

from pkverify.errors import InputError
from pkverify.problem import Problem
from pkverify.problem_file import read_problem

CASES: dict[str, tuple[str, ...]] = {
    "linear": ("linear-one-weight", "linear-intercept", "linear-two-inputs", "linear-ridge", "linear-stackloss"),
    "mlp": (
        "mlp-product-balanced",
        "mlp-product-unbalanced",
        "mlp-depth-three",
        "mlp-depth-four",
        "mlp-tanh-one-input",
        "mlp-tanh-two-inputs",
    ),
    "xent": (
        "xent-logistic-one-example",
        "xent-probability-output",
        "xent-log-probability-output",
        "xent-logistic-examples",
        "xent-softmax",
        "xent-oring",
    ),
}

# For the network route alone: too large for formulas, and for many digits.
NETWORKS: dict[str, tuple[str, ...]] = {
    "linear": ("linear-breast-cancer",),
    "mlp": ("mlp-digits",),
    "xent": ("xent-digits",),
}


def case_problems(name: str) -> tuple[tuple[str, Problem], ...]:
    """The problems of a case, with their names, in order.

    Args:
        name: One of ``CASES``.

    Returns:
        Pairs of a name and a problem.

    Raises:
        InputError: For a case that does not exist.

    Example:
        >>> [name for name, problem in case_problems("linear")][:2]
        ['linear-one-weight', 'linear-intercept']
    """
    return _read(name, CASES, "problems")


def case_networks(name: str) -> tuple[tuple[str, Problem], ...]:
    """The networks of real size of a case, on real data: problems like the others, but for the network route alone.

    Args:
        name: One of ``CASES``.

    Returns:
        Pairs of a name and a problem.

    Raises:
        InputError: For a case that does not exist.

    Example:
        >>> [(name, len(problem.data), len(problem.initial)) for name, problem in case_networks("mlp")]
        [('mlp-digits', 400, 2113)]
    """
    return _read(name, NETWORKS, "networks")


def _read(name: str, cases: dict[str, tuple[str, ...]], folder_name: str) -> tuple[tuple[str, Problem], ...]:
    if name not in cases:
        raise InputError(f"case {name!r} is not known", f"there are {', '.join(cases)}", "choose one of these")
    # As a folder, because a problem file names the CSV file beside it.
    with resources.as_file(resources.files(__name__) / folder_name) as folder:
        return tuple((stem, read_problem(folder / f"{stem}.toml")) for stem in cases[name])
