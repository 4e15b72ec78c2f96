"""Problem files: TOML text to a ``Problem`` and back. Numbers stay exact, and nothing in a file is ever run."""

from pkverify.problem_file.reader import MAX_BYTES, parse_problem, read_problem
from pkverify.problem_file.template import TEMPLATE
from pkverify.problem_file.writer import write_problem

__all__ = ["MAX_BYTES", "TEMPLATE", "parse_problem", "read_problem", "write_problem"]
