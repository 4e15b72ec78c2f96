"""What Hypothesis loads when it starts: types that ``st.from_type`` knows, and settings for long and short runs."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st

from pkverify.expression import Expression
from pkverify.problem import Dataset, Problem, Regularizer
from pkverify.testing.strategies import datasets, expressions, problems, regularizers


def register() -> None:
    """Register strategies for ``Problem``, ``Dataset``, ``Expression`` and ``Regularizer``, and three profiles.

    ``pkverify`` is for work at the desk, ``pkverify-ci`` draws the same problems every time, ``pkverify-long`` many.

    Example:
        >>> register()
        >>> settings.get_profile("pkverify-ci").derandomize
        True
    """
    st.register_type_strategy(Problem, problems())
    st.register_type_strategy(Dataset, datasets())
    st.register_type_strategy(Expression, expressions())
    st.register_type_strategy(Regularizer, regularizers(("u", "v")))
    # Every field is set: what is left out would come from Hypothesis's own profile, which differs under continuous
    # integration.
    desk = settings(
        max_examples=100, derandomize=False, database=settings().database, print_blob=True, deadline=None,
        stateful_step_count=20, report_multiple_bugs=True, verbosity=Verbosity.normal, phases=tuple(Phase),
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large),
        backend="hypothesis",
    )  # fmt: skip
    settings.register_profile("pkverify", desk)
    settings.register_profile("pkverify-ci", desk, derandomize=True, database=None)
    settings.register_profile("pkverify-long", desk, max_examples=10_000)
