"""From the text of a problem file to a ``Problem``."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import cast

from pkverify import losses, models
from pkverify.errors import InputError
from pkverify.expression import check_names
from pkverify.losses import Loss, loss_names
from pkverify.models import ExpressionModel, LayeredModel, Model
from pkverify.problem import Dataset, Problem, Regularizer
from pkverify.problem_file.csv_data import read_csv_data
from pkverify.problem_file.section import Section, TomlFloat, parse_at

MAX_BYTES = 10 * 1024 * 1024

# For each section: is it required, and all the keys that it may have under one choice or another.
SECTIONS = {
    "model": (True, ("kind", "params", "inputs", "output", "layers", "activation", "bias")),
    "loss": (True, ("kind", "value", "reduction")),
    "regularizer": (False, ("kind", "value", "strength")),
    "data": (True, ("x", "y", "classes", "csv", "inputs", "target")),
    "flow": (True, ("initial", "horizon")),
    "query": (False, ("x",)),
}
_MODEL_KEYS = {
    "expression": ("kind", "params", "inputs", "output"),
    "linear": ("kind", "bias"),
    "mlp": ("kind", "layers", "activation", "bias"),
    "deep-linear": ("kind", "layers", "bias"),
}
_HOMES = {key: section for section, (_, keys) in reversed(SECTIONS.items()) for key in keys}
_MAX_DOTS = 1000
_TO_START = "pkverify init FILE writes a problem file to start from"


def read_problem(path: str | Path) -> Problem:
    """Read a problem file.

    Args:
        path: The file, or ``-`` for standard input (paths in it are then relative to the working directory).

    Returns:
        The problem.

    Raises:
        InputError: If the file cannot be read, or holds no sound problem.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from pkverify.problem_file import TEMPLATE
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "problem.toml")
        ...     _ = path.write_text(TEMPLATE, encoding="utf-8")
        ...     len(read_problem(path).data)
        3
    """
    if str(path) == "-":
        return parse_problem(_decoded(_read_stdin(), "stdin"), Path(), "stdin")
    name = str(path)
    try:
        if Path(path).is_dir():
            raise InputError(f"{name}: is a directory", "a problem is one TOML file", "name the file in it")
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file", "there is nothing to read", f"check the path; {_TO_START}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise InputError(f"{name}: cannot be read", why, "check the path and its permissions") from None
    return parse_problem(_decoded(content, name), Path(path).parent, name)


def parse_problem(text: str, base: Path | None = None, name: str = "problem") -> Problem:
    """Read a problem from the text of a problem file.

    Args:
        text: TOML.
        base: The folder that CSV paths are relative to; the working directory if left out.
        name: What messages call the file.

    Returns:
        The problem.

    Raises:
        InputError: If the text holds no sound problem; the message names the file, the section and the key.

    Example:
        >>> text = '''
        ... model = {kind = "expression", params = ["w"], inputs = ["x"], output = "w*x"}
        ... loss.kind = "squared"
        ... data = {x = [1, 2], y = [0.1, "1/3"]}
        ... flow = {initial = [0], horizon = 1}
        ... '''
        >>> parse_problem(text).data.targets
        ((Fraction(1, 10),), (Fraction(1, 3),))
    """
    top = Section(name, "", _toml(text, name))
    top.check_keys(("title", *SECTIONS), homes=_HOMES)
    sections = {key: _section(top, key) for key in SECTIONS}
    title = top.text("title") if "title" in top.values else ""
    loss_section = _given(sections["loss"])
    loss_kind = loss_section.choice("kind", losses.KINDS)
    in_csv = "csv" in _given(sections["data"]).values
    try:
        data = _data(_given(sections["data"]), base or Path(), loss_kind)
        if not data.inputs:
            raise InputError("[data] x is empty", "the theorem needs at least one training example", "add a row to x")
        model = _model(_given(sections["model"]), data)
        flow, query, regularizer = _given(sections["flow"]), sections["query"], sections["regularizer"]
        return Problem(
            model,
            _loss(loss_section, loss_kind, model.output_count),
            data,
            flow.numbers("initial"),
            flow.number("horizon"),
            query.rows("x") if query is not None else None,
            _regularizer(regularizer, model) if regularizer is not None else None,
            title,
        )
    except InputError as error:
        if error.what.startswith(f"{name}: "):
            raise
        # The records speak of sections and keys, but do not know the file, or that the data came from a CSV.
        what = error.what
        if in_csv:
            what = what.replace("[data] x", "[data] inputs").replace("[data] y", "[data] target")
        raise InputError(f"{name}: {what}", error.why, error.fix) from None


def _read_stdin() -> bytes:
    stream = getattr(sys.stdin, "buffer", None)
    content = stream.read(MAX_BYTES + 1) if stream is not None else sys.stdin.read(MAX_BYTES + 1).encode()
    return cast("bytes", content)


def _decoded(content: bytes, name: str) -> str:
    if len(content) > MAX_BYTES:
        raise InputError(f"{name}: is too large", f"at most {MAX_BYTES} bytes are read", "put the data into a CSV file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is not text", f"byte {error.start + 1} is not UTF-8", "save it as UTF-8") from None
    if "\0" in text:
        raise InputError(f"{name}: is not text", "it holds null characters", "name a TOML file")
    return text


def _toml(text: str, name: str) -> dict[str, object]:
    if not text.strip():
        raise InputError(f"{name}: is empty", "there is nothing to read", _TO_START)
    for line in text.splitlines():
        key = line.partition("=")[0]
        if key.count(".") > _MAX_DOTS and "," not in key:  # a comma: numbers in a list, and no key
            # tomllib takes time and memory that grow with the square of the parts of a key.
            raise InputError(f"{name}: is no TOML", f"a key has more than {_MAX_DOTS} dots", "shorten the key")
    try:
        return tomllib.loads(text, parse_float=TomlFloat)
    except ValueError as error:  # malformed TOML; also an integer with more digits than Python reads
        raise InputError(f"{name}: is no TOML", str(error), "correct the line") from None
    except RecursionError:
        raise InputError(f"{name}: is no TOML", "lists are nested too deeply", "remove brackets") from None


def _section(top: Section, key: str) -> Section | None:
    required, keys = SECTIONS[key]
    if key not in top.values:
        if not required:
            return None
        raise InputError(f"{top.file}: [{key}] is missing", f"its keys are {', '.join(keys)}", f"add a section [{key}]")
    value = top.values[key]
    if not isinstance(value, dict):
        raise InputError(f"{top.file}: [{key}] is no section", f"its keys are {', '.join(keys)}", f"write [{key}]")
    section = Section(top.file, key, cast("dict[str, object]", value))
    section.check_keys(keys, homes=_HOMES)
    return section


def _given(section: Section | None) -> Section:
    assert section is not None  # _section has refused a file without it
    return section


def _data(section: Section, base: Path, loss_kind: str) -> Dataset:
    keys = SECTIONS["data"][1]
    if "csv" in section.values:
        section.check_keys(("csv", "inputs", "target"), keys, "csv")
        return read_csv_data(section, base, loss_kind, MAX_BYTES)
    section.check_keys(("x", "y", "classes"), keys, "data without csv")
    inputs = section.rows("x")
    targets = section.rows("y") if "y" in section.values else ((),) * len(inputs)
    classes = section.texts("classes", "class names") if "classes" in section.values else ()
    return Dataset(inputs, targets, classes)


def _model(section: Section, data: Dataset) -> Model:
    kind = section.choice("kind", models.KINDS)
    section.check_keys(_MODEL_KEYS[kind], SECTIONS["model"][1], f'kind = "{kind}"')
    if kind == "expression":
        return _expression_model(section)
    if kind == "linear":
        # One output for each entry of a target row; a loss without targets is on one output.
        outputs = len(data.targets[0]) if data.targets and data.targets[0] else 1
        return LayeredModel(kind, (len(data.inputs[0]), outputs), None, section.flag("bias", default=True))
    layers = section.integers("layers", "widths")
    if kind == "deep-linear":
        return LayeredModel(kind, layers, None, section.flag("bias", default=False))
    return LayeredModel(kind, layers, section.text("activation"), section.flag("bias", default=True))


def _expression_model(section: Section) -> ExpressionModel:
    params, inputs = section.texts("params", "names"), section.texts("inputs", "names")
    names = (*params, *inputs)
    check_names(names, f"{section.where('params')} and inputs")  # before formulas that use them are blamed
    if isinstance(section.require("output"), list):
        texts = section.texts("output", "formulas")
        places = [f"{section.where('output')}, entry {k}" for k in range(1, len(texts) + 1)]
    else:
        texts, places = (section.text("output"),), [section.where("output")]
    outputs = tuple(parse_at(text, names, place) for text, place in zip(texts, places, strict=True))
    return ExpressionModel(params, inputs, outputs)


def _loss(section: Section, kind: str, outputs: int) -> Loss:
    reduction = section.choice("reduction", losses.REDUCTIONS) if "reduction" in section.values else "sum"
    if kind != "expression":
        section.check_keys(("kind", "reduction"), SECTIONS["loss"][1], f'kind = "{kind}"')
        return Loss(kind, None, reduction)
    names = [*loss_names("y", outputs), *loss_names("target", outputs)]
    return Loss(kind, section.expression("value", names), reduction)


def _regularizer(section: Section, model: Model) -> Regularizer:
    keys = SECTIONS["regularizer"][1]
    kind = section.choice("kind", ("l2", "expression")) if "kind" in section.values else "expression"
    if kind == "l2":
        section.check_keys(("kind", "strength"), keys, 'kind = "l2"')
        return Regularizer(strength=section.number("strength"))
    section.check_keys(("kind", "value"), keys, 'a regularizer that is not of kind "l2"')
    return Regularizer(section.expression("value", model.params))
