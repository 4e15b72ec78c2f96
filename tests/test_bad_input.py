"""Bad problem files: every one ends in a message that names the file and the key, says why, and how to mend it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pkverify.errors import InputError
from pkverify.problem_file import MAX_BYTES, TEMPLATE, parse_problem, read_problem

GOOD = {
    "title": '"a line"',
    "model.kind": '"expression"',
    "model.params": '["w"]',
    "model.inputs": '["x"]',
    "model.output": '"w*x"',
    "loss.kind": '"squared"',
    "data.x": '[["1"], ["-1/2"]]',
    "data.y": '["6/5", "1/3"]',
    "flow.initial": '["7/10"]',
    "flow.horizon": '"3"',
}
LINEAR = {"model.kind": '"linear"', "model.params": "", "model.inputs": "", "model.output": ""}
MLP = LINEAR | {"model.kind": '"mlp"', "model.layers": "[1, 1]", "model.activation": '"tanh"'}
CSV = {"data.x": "", "data.y": "", "data.csv": '"good.csv"', "data.inputs": '["a"]', "data.target": '"b"'}
NO_DATA = {"data.x": "", "data.y": ""}
NO_FLOW = {"flow.initial": "", "flow.horizon": ""}
NO_MODEL = dict.fromkeys(["model.kind", "model.params", "model.inputs", "model.output"], "")
VECTOR = {"model.output": '["w*x", "w"]', "data.y": "[[1, 0], [0, 1]]"}
SOFTMAX = {"loss.kind": '"softmax-cross-entropy"'}

# What is changed in the good file (nothing: the key is left out), what the message starts with, and what else it says.
ROWS: dict[str, tuple[dict[str, str], str, str]] = {
    # Keys and sections.
    "section unknown": ({"modle.kind": "1"}, "modle is no known key", "model"),
    "section unlike any": ({"zzzz.kind": "1"}, "zzzz is no known key", "remove it"),
    "key at the top": ({"horizon": "1"}, "horizon is no known key", "move it to [flow]"),
    "key in another section": ({"model.initial": "[1]"}, "[model] initial is no known key", "move it to [flow]"),
    "key misspelt": ({"flow.horizont": "3"}, "[flow] horizont is no known key", "did you mean horizon?"),
    "key in capitals": ({"flow.Horizon": "3"}, "[flow] Horizon is no known key", "did you mean horizon?"),
    "key of great length": ({f"flow.{'z' * 9000}": "3"}, "[flow] zzz", "remove it"),
    "model missing": (NO_MODEL, "[model] is missing", "add a section [model]"),
    "loss missing": ({"loss.kind": ""}, "[loss] is missing", "kind"),
    "data missing": (NO_DATA, "[data] is missing", "csv"),
    "flow missing": (NO_FLOW, "[flow] is missing", "initial, horizon"),
    "section a number": (NO_FLOW | {"flow": "3"}, "[flow] is no section", "write [flow]"),
    "section an array": (NO_FLOW | {"flow": "[{initial = [1]}]"}, "[flow] is no section", "write [flow]"),
    "kind missing": ({"model.kind": ""}, "[model] kind is missing", "add kind"),
    "params missing": ({"model.params": ""}, "[model] params is missing", "add params"),
    "inputs missing": ({"model.inputs": ""}, "[model] inputs is missing", "add inputs"),
    "output missing": ({"model.output": ""}, "[model] output is missing", "add output"),
    "x missing": ({"data.x": ""}, "[data] x is missing", "add x"),
    "y missing": ({"data.y": ""}, "[data] y is missing", "add y"),
    "initial missing": ({"flow.initial": ""}, "[flow] initial is missing", "add initial"),
    "horizon missing": ({"flow.horizon": ""}, "[flow] horizon is missing", "add horizon"),
    "layers missing": (MLP | {"model.layers": ""}, "[model] layers is missing", "add layers"),
    "activation missing": (MLP | {"model.activation": ""}, "[model] activation is missing", "add activation"),
    "value missing": ({"loss.kind": '"expression"'}, "[loss] value is missing", "add value"),
    "query without x": ({"query": "{}"}, "[query] x is missing", "add x"),
    "strength missing": ({"regularizer.kind": '"l2"'}, "[regularizer] strength is missing", "add strength"),
    "regularizer empty": ({"regularizer": "{}"}, "[regularizer] value is missing", "add value"),
    # Keys that do not go together.
    "bias of an expression": ({"model.bias": "true"}, "[model] bias does not go with", 'kind = "expression"'),
    "layers of a linear": (LINEAR | {"model.layers": "[1, 1]"}, "[model] layers does not go with", "linear"),
    "params of a linear": (LINEAR | {"model.params": '["w"]'}, "[model] params does not go with", "linear"),
    "activation of a deep linear": (MLP | {"model.kind": '"deep-linear"'}, "[model] activation does not go", "deep"),
    "value of squared": ({"loss.value": '"y"'}, "[loss] value does not go with", "squared"),
    "value and l2": (
        {"regularizer.kind": '"l2"', "regularizer.value": '"w"', "regularizer.strength": "1"},
        "[regularizer] value does not go with",
        "l2",
    ),
    "strength without l2": ({"regularizer.strength": "1"}, "[regularizer] strength does not go with", "l2"),
    "x and csv": (CSV | {"data.x": "[1]"}, "[data] x does not go with csv", "remove x"),
    "target without csv": ({"data.target": '"b"'}, "[data] target does not go with data without csv", "remove target"),
    # Types.
    "title a number": ({"title": "3"}, "title is a number", "text"),
    "title a float": ({"title": "3.5"}, "title is a number", "text"),
    "kind a list": ({"model.kind": "[1]"}, "[model] kind is a list", "text"),
    "params a text": ({"model.params": '"w"'}, "[model] params is a text", "list of names"),
    "params of floats": ({"model.params": "[1.5]"}, "[model] params has an entry that is a number", "names"),
    "output a float": ({"model.output": "1.5"}, "[model] output is a number", "text"),
    "output of numbers": ({"model.output": "[1]"}, "[model] output has an entry that is a number", "formulas"),
    "bias a text": (LINEAR | {"model.bias": '"yes"'}, "[model] bias is a text", "true or false"),
    "layers a number": (MLP | {"model.layers": "3"}, "[model] layers is a number", "list of widths"),
    "layers of floats": (MLP | {"model.layers": "[1.0, 1]"}, "[model] layers has an entry", "whole numbers"),
    "layers of booleans": (MLP | {"model.layers": "[true, 1]"}, "[model] layers has an entry", "whole numbers"),
    "x a number": ({"data.x": "3"}, "[data] x is a number", "list"),
    "x a table": ({"data.x": "[{a = 1}]"}, "[data] x, row 1 is a table", "number"),
    "x too deep": ({"data.x": "[[[1]], [[2]]]"}, "[data] x, row 1 is a list", "number"),
    "initial a number": ({"flow.initial": "1"}, "[flow] initial is a number", "list of numbers"),
    "initial of rows": ({"flow.initial": "[[1]]"}, "[flow] initial, entry 1 is a list", "number"),
    "horizon a list": ({"flow.horizon": "[1]"}, "[flow] horizon is a list", "number"),
    "horizon a boolean": ({"flow.horizon": "true"}, "[flow] horizon: True is not a number", "ratios"),
    "horizon a date": ({"flow.horizon": "2020-01-01"}, "[flow] horizon: ", "not a number"),
    # Numbers.
    "number a word": ({"data.x": '[["1"], ["two"]]'}, "[data] x, row 2: 'two' is not a number", "1/3"),
    "number nan": ({"data.y": '["nan", 1]'}, "[data] y, row 1: 'nan' is not a finite number", "finite"),
    "number TOML nan": ({"data.y": "[nan, 1]"}, "[data] y, row 1: 'nan' is not a finite number", "finite"),
    "number TOML inf": ({"flow.initial": "[-inf]"}, "[flow] initial, entry 1: '-inf' is not a finite", "finite"),
    "number over zero": ({"data.y": '["1/0", 1]'}, "[data] y, row 1: '1/0' is not a number", "denominator is zero"),
    "number too large": ({"flow.horizon": '"1e9999"'}, "[flow] horizon: '1e9999' is out of range", "rescale"),
    "number with many digits": ({"flow.horizon": f'"{"9" * 5000}"'}, "[flow] horizon: ", "4000 digits"),
    "number in base 16": ({"flow.horizon": f"0x{'f' * 50_000}"}, "[flow] horizon: number is out of range", "rescale"),
    "number in code": ({"flow.horizon": '"9**9**9"'}, "[flow] horizon: '9**9**9' is not a number", "1/3"),
    "horizon zero": ({"flow.horizon": "0"}, "[flow] horizon is 0", "positive"),
    "horizon negative": ({"flow.horizon": '"-1/3"'}, "[flow] horizon is -1/3", "positive"),
    "horizon infinite": ({"flow.horizon": '"inf"'}, "[flow] horizon: 'inf' is not a finite number", "finite"),
    # Sizes.
    "x empty": ({"data.x": "[]", "data.y": "[]"}, "[data] x is empty", "add a row"),
    "x of empty rows": ({"data.x": "[[], []]"}, "[data] x, row 1 has 0 number(s)", "give 1"),
    "x ragged": ({"data.x": "[[1], [1, 2]]"}, "[data] x, row 2 has 2 number(s)", "give 1"),
    "x shorter than y": ({"data.x": "[[1]]"}, "[data] y has 2 rows and x has 1", "equally long"),
    "y of two": ({"data.y": "[[1, 2], [3, 4]]"}, "[data] y, row 1 has 2 number(s)", "give 1"),
    "initial too short": ({"flow.initial": "[]"}, "[flow] initial has 0 numbers", "give 1"),
    "initial too long": ({"flow.initial": "[1, 2]"}, "[flow] initial has 2 numbers", "parameters are w"),
    "query of two": ({"query.x": "[[1, 2]]"}, "[query] x, row 1 has 2 number(s)", "give 1"),
    "query empty": ({"query.x": "[]"}, "[query] x is empty", "leave the section out"),
    "params empty": ({"model.params": "[]", "model.output": '"x"'}, "[model] params is empty", "fill params"),
    "layers of one": (MLP | {"model.layers": "[1]"}, "[model] layers [1] do not make", "[2, 3, 1]"),
    "layers of zero": (MLP | {"model.layers": "[1, 0, 1]"}, "[model] layers [1, 0, 1] do not make", "widths"),
    "layers huge": (MLP | {"model.layers": "[1, 99999999, 1]"}, "[model] layers make", "100000"),
    "classes of one": ({"data.classes": '["a", "b"]'}, "[data] has 2 classes", "one output per class"),
    # Words.
    "kind unknown": ({"model.kind": '"expresion"'}, "[model] kind = 'expresion' is not known", "did you mean expr"),
    "loss unknown": ({"loss.kind": '"square"'}, "[loss] kind = 'square' is not known", "did you mean squared?"),
    "reduction unknown": ({"loss.reduction": '"average"'}, "[loss] reduction = 'average'", "sum, mean"),
    "activation unknown": (MLP | {"model.activation": '"gelu"'}, "[model] activation 'gelu' is not known", "tanh"),
    "regularizer unknown": ({"regularizer.kind": '"l1"'}, "[regularizer] kind = 'l1'", "did you mean l2?"),
    "name twice": ({"model.inputs": '["w"]'}, "[model] params and inputs: 'w' is declared twice", "rename"),
    "name of a function": (
        {"model.params": '["exp"]', "model.output": '"exp(x)"'},
        "[model] params and inputs: 'exp' is taken",
        "rename",
    ),
    "name with a blank": ({"model.params": '["w w"]', "model.output": '"x"'}, "[model] params and inputs: ", "letters"),
    # Formulas, and what would like to be run.
    "formula empty": ({"model.output": '""'}, "[model] output: empty expression", "w*x"),
    "function unknown": ({"model.output": '"softmax(w*x)"'}, "[model] output: unknown function 'softmax'", "softplus"),
    "name undeclared": ({"model.output": '"w*z"'}, "[model] output: undeclared name 'z'", "w, x"),
    "second formula": ({"model.output": '["w*x", "w*"]'}, "[model] output, entry 2: 'w*' ends too early", "complete"),
    "caret": ({"model.output": '"w^2"'}, "[model] output: unexpected '^'", "**"),
    "attribute": ({"model.output": '"w.__class__"'}, "[model] output: unexpected '.'", "grammar"),
    "lambda": ({"model.output": '"(lambda: w)()"'}, "[model] output: unexpected ':'", "grammar"),
    "import": (
        {"model.output": """'__import__("os").system("touch pwned")'"""},
        "[model] output: unexpected '\"'",
        "grammar",
    ),
    "import in a loss": (
        {"loss.kind": '"expression"', "loss.value": """'__import__("os").system("touch pwned")'"""},
        "[loss] value: unexpected",
        "grammar",
    ),
    "open in a regularizer": (
        {"regularizer.value": """'open("pwned", "w")'"""},
        "[regularizer] value: unexpected '\"'",
        "grammar",
    ),
    "tower": ({"model.output": '"9**9**9"'}, "[model] output: exponent too large", "smaller power"),
    "parentheses": (
        {"model.output": f'"{"(" * 10_000}w{")" * 10_000}"'},
        "[model] output: nesting too deep",
        "levels",
    ),
    "five megabytes": ({"model.output": f'"{"w+" * 2_500_000}w"'}, "[model] output: expression of 5000001", "100000"),
    "loss of another name": (
        {"loss.kind": '"expression"', "loss.value": '"(y0-target0)**2"'},
        "[loss] value: undeclared name 'y0'",
        "y",
    ),
    "loss of two outputs": (
        VECTOR | {"loss.kind": '"expression"', "loss.value": '"y**2"'},
        "[loss] value: undeclared name 'y'",
        "y0",
    ),
    "regularizer of inputs": ({"regularizer.value": '"x**2"'}, "[regularizer] value: undeclared name 'x'", "w"),
    # Losses that do not fit.
    "softmax on one output": (SOFTMAX, "[loss] kind softmax-cross-entropy is on 1 output", "logistic"),
    "logistic on two": (VECTOR | {"loss.kind": '"logistic"'}, "[loss] kind logistic is on 2 outputs", "softmax"),
    "logistic on numbers": ({"loss.kind": '"logistic"'}, "[data] y has a value other than 0 and 1", "recode"),
    "softmax on numbers": (VECTOR | SOFTMAX | {"data.y": "[[1, 1], [0, 1]]"}, "[data] y has a row", "one-hot"),
    "softmax on names": (VECTOR | SOFTMAX | {"data.y": '["a", "b"]'}, "[data] y, row 1: 'a' is not a number", "1/3"),
    "nll with targets": ({"loss.kind": '"nll-probability"'}, "[data] y is given", "remove y"),
    "formula without target": ({"loss.kind": '"expression"', "loss.value": '"y**2"'}, "[data] y is given", "remove y"),
    # CSV files.
    "csv a list": (CSV | {"data.csv": "[1]"}, "[data] csv is a list", "text"),
    "csv missing": (CSV | {"data.csv": '"no.csv"'}, "[data] csv = 'no.csv' is not there", "relative"),
    "csv a directory": (CSV | {"data.csv": '"."'}, "[data] csv = '.' is a directory", "CSV"),
    "csv a device": (CSV | {"data.csv": '"/dev/zero"'}, "[data] csv = '/dev/zero' is not there", "relative"),
    "csv with a null": (CSV | {"data.csv": '"a\\u0000b"'}, "[data] csv = 'a\\x00b' ", "path"),
    "csv binary": (CSV | {"data.csv": '"binary.csv"'}, "[data] csv = 'binary.csv' is not text", "UTF-8"),
    "csv empty": (CSV | {"data.csv": '"empty.csv"'}, "[data] csv: empty.csv, no header", "header"),
    "csv of a header": (CSV | {"data.csv": '"header.csv"'}, "[data] csv: header.csv, no rows", "add rows"),
    "csv ragged": (CSV | {"data.csv": '"ragged.csv"'}, "[data] csv: ragged.csv, line 3 has 1 cells", "header has 2"),
    "csv with a huge cell": (CSV | {"data.csv": '"huge.csv"'}, "[data] csv: huge.csv, line ", "field"),
    "csv without inputs": (CSV | {"data.inputs": ""}, "[data] inputs is missing", "add inputs"),
    "csv with inputs a text": (CSV | {"data.inputs": '"a"'}, "[data] inputs is a text", "column names"),
    "csv with no input": (CSV | {"data.inputs": "[]"}, "[data] inputs is empty", "name the columns"),
    "csv with two inputs": (CSV | {"data.inputs": '["a", "b"]'}, "[data] inputs, row 1 has 2 number(s)", "give 1"),
    "csv without target": (CSV | {"data.target": ""}, "[data] target is missing", "name a column"),
    "csv with a target too many": (CSV | {"loss.kind": '"nll-probability"'}, "[data] target is given", "remove"),
    "csv column missing": (
        CSV | {"data.inputs": '["Alpha"]', "data.csv": '"text.csv"'},
        "[data] inputs: text.csv, column 'Alpha' is not there",
        "did you mean alpha?",
    ),
    "csv column twice": (CSV | {"data.csv": '"twice.csv"'}, "[data] inputs: twice.csv, column 'a' is there twice", "a"),
    "csv word": (
        CSV | {"data.csv": '"text.csv"', "data.inputs": '["alpha"]'},
        "[data] target: text.csv, line 3, column 'b': 'x' is not a number",
        "1/3",
    ),
    "csv nan": (CSV | {"data.csv": '"nan.csv"'}, "[data] target: nan.csv, line 2, column 'b': 'nan'", "finite"),
    "csv cell empty": (CSV | {"data.csv": '"gap.csv"'}, "[data] target: gap.csv, line 2, column 'b' is empty", "fill"),
    "csv classes for logistic": (
        CSV | {"data.csv": '"names.csv"', "loss.kind": '"logistic"'},
        "[data] target: names.csv, line 2, column 'b': 'yes' is not a number",
        "0 and 1",
    ),
    "csv classes and outputs": (
        CSV | SOFTMAX | {"data.csv": '"three.csv"', "model.output": '["w*x", "w"]'},
        "[data] target, row 1 has 3 number(s)",
        "give 2",
    ),
    "csv with too many classes": (
        CSV | SOFTMAX | {"data.csv": '"many.csv"'},
        "[data] target has 1500 classes",
        "class names",
    ),
}

FILES = {
    "good.csv": "a,b\n1,2\n3,4\n",
    "empty.csv": "\n",
    "header.csv": "a,b\n",
    "ragged.csv": "a,b\n1,2\n3\n",
    "huge.csv": "a,b\n1," + "9" * 200_000 + "\n",
    "text.csv": "alpha,b\n1,2\n3,x\n",
    "twice.csv": "a,a,b\n1,2,3\n",
    "nan.csv": "a,b\n1,nan\n",
    "gap.csv": "a,b\n1,\n",
    "names.csv": "a,b\n1,yes\n2,no\n",
    "three.csv": "a,b\n1,p\n2,q\n3,r\n",
    "many.csv": "a,b\n" + "".join(f"1,c{k}\n" for k in range(1500)),
}


def text_of(changes: dict[str, str]) -> str:
    """The good file with some keys changed, added, or left out."""
    keys = GOOD | changes
    tops = [f"{key} = {value}" for key, value in keys.items() if "." not in key and value]
    dotted = [f"{key} = {value}" for key, value in keys.items() if "." in key and value]
    return "\n".join([*tops, *dotted]) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "binary.csv").write_bytes(b"a,b\n\xff\xfe\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(path: Path) -> InputError:
    began = time.process_time()
    with pytest.raises(InputError) as caught:
        read_problem(path)

    error = caught.value
    assert time.process_time() - began < 5
    assert error.exit_code == 2
    assert error.what.startswith(f"{path}: ")
    assert error.why
    assert error.fix
    assert len(str(error).splitlines()) == 3
    assert len(str(error)) < 1000
    return error


def test_the_good_file_is_good(folder: Path) -> None:
    assert len(parse_problem(text_of({}), folder).data) == 2
    assert len(parse_problem(text_of(LINEAR | {"model.bias": "false"}), folder).data) == 2
    assert len(parse_problem(text_of(MLP | {"flow.initial": "[1, 2]"}), folder).data) == 2
    assert len(parse_problem(text_of(CSV), folder).data) == 2


@pytest.mark.parametrize(("changes", "starts", "says"), ROWS.values(), ids=ROWS.keys())
def test_bad_problems_are_refused(folder: Path, changes: dict[str, str], starts: str, says: str) -> None:
    path = folder / "bad.toml"
    path.write_text(text_of(changes), encoding="utf-8")
    error = refusal(path)

    assert error.what.removeprefix(f"{path}: ").startswith(starts)
    assert says in str(error)
    assert not (folder / "pwned").exists()


UNREADABLE = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty"),
    "binary": (b"\x7fELF\x02\x01\x01\x00\xff\xfe", "is not text"),
    "null": (b"title = 'a'\x00", "is not text"),
    "latin": ("title = 'ü'".encode("latin-1"), "is not text"),
    "malformed": (b"[model\nkind = 1", "is no TOML"),
    "unquoted": (b"title = line", "is no TOML"),
    "key twice": (b"title = 'a'\ntitle = 'b'", "is no TOML"),
    "long integer": (b"title = " + b"9" * 10_000, "is no TOML"),
    "deep lists": (b"title = " + b"[" * 100_000, "is no TOML"),
    "deep tables": (b"title = " + b"{a=" * 100_000, "is no TOML"),
    "dots": (b"a." * 200_000 + b"a = 1", "is no TOML"),
    "dots in a section": (b"[" + b"a." * 200_000 + b"a]", "is no TOML"),
    "large": (b"#" * (MAX_BYTES + 1), "is too large"),
    "json": (b'{"model": {}}', "is no TOML"),
}


@pytest.mark.parametrize(("content", "says"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_files_that_are_no_toml_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)

    assert refusal(path).what == f"{path}: {says}"


def test_paths_that_are_no_file_are_refused(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path).what
    assert "no such file" in refusal(tmp_path / "nowhere.toml").what
    assert "cannot be read" in refusal(tmp_path / "a\0b").what
    assert "cannot be read" in refusal(tmp_path / ("a" * 300)).what


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
@settings(max_examples=150)
def test_any_text_ends_in_a_message(text: str) -> None:
    with pytest.raises(InputError):
        parse_problem(text)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_templates_are_read_or_refused(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TEMPLATE)))
    cut = data.draw(st.integers(0, 30))
    damage = data.draw(st.text(alphabet='0."[]{}=w,-\n#nai', max_size=4))
    try:
        problem = parse_problem(TEMPLATE[:at] + damage + TEMPLATE[at + cut :])
    except InputError as error:
        lines = str(error).splitlines()
    else:
        assert problem.horizon > 0
        return

    assert lines[0].startswith("problem: ")
    assert [line[2:5] for line in lines[1:]] == ["why", "fix"]
