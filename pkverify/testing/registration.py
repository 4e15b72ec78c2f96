"""What Hypothesis loads when it starts: types that ``st.from_type`` knows, and settings for long and short runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pkverify.expression import Expression
from pkverify.problem import Dataset, Problem, Regularizer

if TYPE_CHECKING:
    from hypothesis import strategies as st


def _named(name: str, *arguments: tuple[str, ...]) -> Callable[[type], st.SearchStrategy[Any]]:
    """A strategy that is made when it is first asked for.

    Hypothesis calls ``register`` while it is being imported, which may be by the module of the strategies.
    """

    def make(_: type) -> st.SearchStrategy[Any]:
        return getattr(import_module("pkverify.testing.strategies"), name)(*arguments)

    return make


def register() -> None:
    """Register strategies for ``Problem``, ``Dataset``, ``Expression`` and ``Regularizer``, and three profiles.

    ``pkverify`` is for work at the desk, ``pkverify-ci`` draws the same problems every time, ``pkverify-long`` many.

    Example:
        >>> from hypothesis import settings
        >>> register()
        >>> settings.get_profile("pkverify-ci").derandomize
        True
    """
    # Hypothesis imports this module while it is being imported itself, so it cannot be imported above.
    from hypothesis import HealthCheck, Phase, Verbosity, settings  # noqa: PLC0415
    from hypothesis import strategies as st  # noqa: PLC0415

    for kind, name, arguments in (
        (Problem, "problems", ()),
        (Dataset, "datasets", ()),
        (Expression, "expressions", ()),
        (Regularizer, "regularizers", (("u", "v"),)),
    ):
        st.register_type_strategy(kind, _named(name, *arguments))
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
