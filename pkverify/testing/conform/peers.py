"""Adapters by name, and what the command line says about them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any
from warnings import catch_warnings, simplefilter

from pkverify.errors import InputError
from pkverify.testing.conform.adapter import Adapter
from pkverify.testing.conform.check import check
from pkverify.testing.conform.report import EXIT_CODES, ConformanceReport


@dataclass(frozen=True)
class Peer:
    """A project that adapters are shipped for.

    Attributes:
        module: Where its adapters are, in ``pkverify.testing.adapters``.
        install: What installs it.
    """

    module: str
    install: str


PEERS = {
    "captum": Peer("captum", "pip install captum"),
    "dattri": Peer("dattri", "pip install dattri"),
    "explaind": Peer(
        "explaind", "pip install explaind (on Python 3.11: --ignore-requires-python --no-deps, and tqdm)"
    ),
    "neural-tangents": Peer(
        "neural_tangents",
        'pip install "jax==0.4.23" "jaxlib==0.4.23" "numpy<2" "scipy<1.13" frozendict absl-py, and --no-deps'
        " neural-tangents==0.6.5, in an environment of its own with pkverify",
    ),
    "trak": Peer("trak", "pip install traker"),
    "torch.func": Peer("torch_func", "pip install torch"),
    "pkverify": Peer("own", "pip install pkverify"),
}  # fmt: skip


def adapters_of(name: str) -> tuple[Adapter, ...]:
    """The adapters of a peer, or the one that a user wrote.

    Args:
        name: A name in ``PEERS``; or ``package.module:name`` of a function from a task to scores, or of an Adapter. A
            function may have an attribute ``quantity``.

    Returns:
        One adapter, or one for each way in which the peer computes scores.

    Raises:
        InputError: If there is nothing of that name, or the peer is not installed; it says what installs it.

    Example:
        >>> [adapter.name for adapter in adapters_of("torch.func")]
        ['torch.func TracIn', 'torch.func loss-weighted kernel', 'torch.func tangent kernel']
        >>> adapters_of("captain")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        pkverify.errors.InputError: conform: there is no adapter 'captain'
          fix  choose from captum, dattri, explaind, ..., or give package.module:function
    """
    if name in PEERS:
        peer = PEERS[name]
        try:
            with catch_warnings():
                simplefilter("ignore")  # what a peer warns of when it is imported is its own affair
                return import_module(f"pkverify.testing.adapters.{peer.module}").adapters()
        except ImportError as error:
            raise InputError(f"conform: {name} is not installed", str(error), peer.install) from error
    module, colon, attribute = name.partition(":")
    if not colon:
        raise InputError(
            f"conform: there is no adapter {name!r}", "",
            f"choose from {', '.join(PEERS)}, or give package.module:function",
        )  # fmt: skip
    try:
        found: Any = getattr(import_module(module), attribute)
    except ImportError as error:
        raise InputError(
            f"conform: {module} cannot be imported", str(error), "run where Python finds it, or set PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise InputError(
            f"conform: {module} has no {attribute!r}", "", "give the name of a function or an Adapter"
        ) from error
    if isinstance(found, Adapter):
        return (found,)
    if not callable(found):
        raise InputError(f"conform: {name} is no function", f"it is a {type(found).__name__}", "give a function")
    return (Adapter(name, found, getattr(found, "quantity", None)),)


def conform(
    name: str, *, quantity: str | None = None, examples: int = 10, seconds: float = 10.0
) -> tuple[ConformanceReport, ...]:
    """Check all adapters of a name.

    Args:
        name: As ``adapters_of`` takes it.
        quantity: What the scores are, in place of what the adapter says.
        examples: How many small tasks are drawn.
        seconds: How long to look for a smaller failing task, for each relation that fails.

    Returns:
        One report for each adapter.

    Raises:
        InputError: As ``adapters_of``.
    """
    chosen = (replace(a, quantity=quantity) if quantity else a for a in adapters_of(name))
    return tuple(check(adapter, examples=examples, seconds=seconds) for adapter in chosen)


def exit_code(reports: Sequence[ConformanceReport]) -> int:
    """0 if all conform, 1 if one does not, 3 if one is undecided and none fails."""
    verdicts = {report.verdict for report in reports}
    worst = next((v for v in ("does not conform", "undecided") if v in verdicts), "conforms")
    return EXIT_CODES[worst]


def as_text(reports: Sequence[ConformanceReport]) -> str:
    """The reports one after the other."""
    return "\n\n".join(report.text() for report in reports)


def as_json(reports: Sequence[ConformanceReport]) -> str:
    """The reports in one JSON array."""
    return json.dumps([report.as_dict() for report in reports], indent=2, allow_nan=False)
