"""From a ``Problem`` to the text of a problem file that reads back to the same problem."""

from __future__ import annotations

from collections.abc import Iterable

from pkverify.errors import InputError
from pkverify.models import ExpressionModel, LayeredModel
from pkverify.problem import Problem, Vector
from pkverify.rational import format_rational

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write_problem(problem: Problem) -> str:
    """The problem as TOML, with its data inline.

    Args:
        problem: The problem.

    Returns:
        Text that ``parse_problem`` reads to an equal problem.

    Raises:
        InputError: For a problem that a file cannot say: a model of another kind, a linear model with several outputs
            and no targets, a number of more than ``MAX_DIGITS`` digits, or text that is not Unicode.

    Example:
        >>> from pkverify.problem_file import TEMPLATE, parse_problem
        >>> problem = parse_problem(TEMPLATE)
        >>> parse_problem(write_problem(problem)) == problem
        True
    """
    lines = [f"title = {_quoted(problem.title)}", ""] if problem.title else []
    lines += ["[model]", *_model(problem), ""]
    loss, data, regularizer = problem.loss, problem.data, problem.regularizer
    lines += ["[loss]", f"kind = {_quoted(loss.kind)}"]
    lines += [f"value = {_quoted(loss.value.text)}"] if loss.value is not None else []
    lines += [f"reduction = {_quoted(loss.reduction)}"] if loss.reduction != "sum" else []
    lines.append("")
    if regularizer is not None:
        lines.append("[regularizer]")
        if regularizer.value is not None:
            lines.append(f"value = {_quoted(regularizer.value.text)}")
        if regularizer.strength is not None:
            lines += ['kind = "l2"', f"strength = {_quoted(format_rational(regularizer.strength))}"]
        lines.append("")
    lines += ["[data]", *_rows("x", data.inputs)]
    lines += _rows("y", data.targets) if any(data.targets) else []
    lines += [f"classes = {_text_list(data.classes)}"] if data.classes else []
    lines += ["", "[flow]", f"initial = {_number_list(problem.initial)}"]
    lines += [f"horizon = {_quoted(format_rational(problem.horizon))}", ""]
    if problem.queries is not None:
        lines += ["[query]", *_rows("x", problem.queries), ""]
    return "\n".join(lines[:-1]) + "\n"


def _model(problem: Problem) -> list[str]:
    model = problem.model
    lines = [f"kind = {_quoted(model.kind)}"]
    if isinstance(model, ExpressionModel):
        texts = [output.text for output in model.outputs]
        output = _quoted(texts[0]) if len(texts) == 1 else _text_list(texts)
        names = [f"params = {_text_list(model.params)}", f"inputs = {_text_list(model.inputs)}"]
        return [*lines, *names, f"output = {output}"]
    if not isinstance(model, LayeredModel):
        raise InputError(
            f"[model] of kind {model.kind!r} cannot be written",
            "a problem file knows the built-in kinds and expressions",
            "give the model as an expression",
        )
    if model.kind == "linear" and model.output_count > 1 and not any(problem.data.targets):
        raise InputError(
            f"[model] linear with {model.output_count} outputs and no targets cannot be written",
            "a problem file takes the number of outputs from the targets",
            f'use kind = "deep-linear" with layers = {list(model.layers)}',
        )
    lines += [f"layers = {list(model.layers)}"] if model.kind != "linear" else []
    lines += [f"activation = {_quoted(model.activation)}"] if model.activation is not None else []
    return [*lines, f"bias = {str(model.bias).lower()}"]


def _rows(key: str, rows: Iterable[Vector]) -> list[str]:
    return [f"{key} = [", *(f"  {_number_list(row)}," for row in rows), "]"]


def _number_list(row: Vector) -> str:
    return _text_list(map(format_rational, row))


def _text_list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _quoted(text: str) -> str:
    """A TOML basic string: quotes, backslashes and control characters escaped."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"text {ascii(text)[:60]} cannot be written", str(error), "remove the character") from None
    return '"' + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " or c == "\x7f" else c) for c in text) + '"'
