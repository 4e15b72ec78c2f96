r"""The commands that formulas may hold, and the characters that they stand for."""

# ruff: noqa: RUF001 - signs of mathematics that look like other letters are meant

from __future__ import annotations

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Letters that Unicode had before it got whole alphabets of them.
_BLACKBOARD = {"C": "ℂ", "H": "ℍ", "N": "ℕ", "P": "ℙ", "Q": "ℚ", "R": "ℝ", "Z": "ℤ"}
_SCRIPT = {"B": "ℬ", "E": "ℰ", "F": "ℱ", "H": "ℋ", "I": "ℐ", "L": "ℒ", "M": "ℳ", "R": "ℛ"}

ALPHABETS: dict[str, dict[str, str]] = {
    "mathbb": {c: chr(0x1D538 + k) for k, c in enumerate(_LETTERS)} | _BLACKBOARD,
    "mathcal": {c: chr(0x1D49C + k) for k, c in enumerate(_LETTERS)} | _SCRIPT,
    "mathbf": {c: chr(0x1D400 + k) for k, c in enumerate(_LETTERS + _LETTERS.lower())},
}

SIGNS: dict[str, str] = {
    rf"\{name}": char
    for name, char in {
        **dict(zip(
            (
                "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota",
                "kappa", "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "varphi", "chi",
                "psi", "omega",
            ),
            "αβγδϵεζηθϑικλμνξπρστυϕφχψω", strict=True,
        )),
        **dict(zip(
            ("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"),
            "ΓΔΘΛΞΠΣΥΦΨΩ", strict=True,
        )),
        "sum": "∑", "prod": "∏", "int": "∫", "partial": "∂", "nabla": "∇", "infty": "∞", "ell": "ℓ",
        "cdot": "·", "times": "×", "pm": "±", "mp": "∓", "circ": "∘", "ast": "∗", "wedge": "∧", "vee": "∨",
        "to": "→", "rightarrow": "→", "mapsto": "↦", "Rightarrow": "⇒", "approx": "≈", "equiv": "≡", "sim": "∼",
        "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "in": "∈", "notin": "∉", "subset": "⊂",
        "cup": "∪", "cap": "∩", "forall": "∀", "exists": "∃", "top": "⊤", "perp": "⊥", "prime": "′",
        "langle": "⟨", "rangle": "⟩", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "lvert": "|",
        "rvert": "|", "mid": "∣", "dots": "…", "ldots": "…", "cdots": "⋯", "|": "‖", "{": "{", "}": "}", "%": "%",
    }.items()
}  # fmt: skip

DELIMITERS: dict[str, str] = {
    "(": "(", ")": ")", "[": "[", "]": "]", "|": "|", "/": "/", ".": "",
    r"\{": "{", r"\}": "}", r"\|": "‖", r"\langle": "⟨", r"\rangle": "⟩", r"\lfloor": "⌊", r"\rfloor": "⌋",
    r"\lceil": "⌈", r"\rceil": "⌉", r"\lvert": "|", r"\rvert": "|",
}  # fmt: skip

OPERATORS = frozenset(
    rf"\{name}"
    for name in (
        "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan", "exp", "log", "ln", "lim", "max", "min", "sup", "inf",
        "det", "arg", "dim", "ker",
    )
)  # fmt: skip

SPACES = {r"\,": 0.17, r"\:": 0.22, r"\;": 0.28, r"\ ": 0.25, r"\quad": 1.0, r"\qquad": 2.0}

# The mark over the body, as a character of MathML.
ACCENTS = {
    "hat": "^", "bar": "¯", "overline": "‾", "tilde": "~", "dot": "˙", "ddot": "¨", "vec": "→", "check": "ˇ",
    "breve": "˘", "acute": "´", "grave": "`", "mathring": "˚",
}  # fmt: skip
