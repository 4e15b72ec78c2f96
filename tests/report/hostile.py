"""Runs whose texts are full of what HTML, LaTeX, Typst and Markdown take for commands."""

from __future__ import annotations

from fractions import Fraction

from pkverify.decomposition import Decomposition
from pkverify.evidence import DerivationStep, Evidence, HypothesisEvidence, ProblemRun, Run, Verdict
from pkverify.report.document import ReportFigure

TEXTS = {
    "html": "</title></style></pre><script>alert(1)</script><img src=x onerror=alert(2)>&amp;&#60;b&#62;<!-- -->",
    "latex": r"\input{/etc/passwd} \end{document} $x_1^2$ 50% #1 & ~ ^ _ {open \verb|x| \immediate\write18{id}",
    "typst": '#panic("boom") #import "@preview/x:1.0.0" $ x $ *b* _i_ `raw` <label> @ref // c /* b */ #eval("1")',
    "markdown": "# head *b* __u__ [a](javascript:x) ![i](x) | c | `code` ``two`` ~~s~~ <b>x</b>\n- item\n1. one\n***",
    "right to left": "\u202eabc שלום עולם مرحبا \u2067x\u2069",
    "emoji": "😀👩‍🔬🏳️‍🌈 漢字 ﷽ Ĳ é ñ",
    "control": "a\x00b\x1b[31mred\x07\tc",
    "long": "x" * 10_000,
    "long words": "metacharacters <>&$%#_^~\\{} " * 400,
}


def hostile_run(text: str) -> Run:
    """A run in which everything that a user may write is the text."""
    source = f'title = {_toml(text)}\n[model]\nkind = "expression"\nparams = [{_toml(text)}]\noutput = {_toml(text)}\n'
    source += f"[loss]\nkind = {_toml(text)}\n[data]\nx = [[{_toml(text)}]]\ny = [[{_toml(text)}]]\n"
    source += f"[flow]\ninitial = [{_toml(text)}]\n"
    evidence = Evidence(
        "T1",
        Verdict.REFUTED,
        text,
        (HypothesisEvidence("H0", Verdict.SUPPORTED, text),),
        residual=text,
        bound=text,
        tolerance=text,
        witness=text,
        message=text,
        route=text,
    )
    step = DerivationStep("P2", text, text, Verdict.PROVED, text)
    named = DerivationStep("P2", text, r"\text{}" if not text else rf"w = {text[:50]}", Verdict.PROVED, text)
    decomposition = Decomposition(
        route="precise",
        digits=20,
        query=(Fraction(1, 2),),
        output=0,
        initial_output="0.5",
        final_output="1.5",
        contributions=("1.0",),
        regularizer_term="0",
        residual="0",
        path_kernel=("0",),
        weights=(None,),
        weights_absent={0: text},
        horizon=Fraction(1),
        closed_form={"initial_output": text, "contributions": (text,)},
    )
    problem = ProblemRun(
        text,
        (evidence,),
        (decomposition,),
        text,
        (step, named),
        skipped={text: text},
        refused={text: text},
        source=source,
    )
    return Run((problem,), holes=(text,))


def hostile_audit(text: str) -> Run:
    """An audit whose messages are the text."""
    repaired = Evidence("T1a", Verdict.PROVED, "exact", residual="0", message=text, form="repaired")
    item = Evidence(
        "T1a",
        Verdict.REFUTED,
        text,
        witness=f"CE-A: {text}",
        message=text,
        form="as-printed",
        status="false as printed",
        expected="false as printed",
        repaired=repaired,
    )
    return Run((ProblemRun(text, (item,)),))


def hostile_figure(text: str) -> ReportFigure:
    """A figure whose words are the text."""
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20"/></svg>'
    return ReportFigure("picture", text, text, svg, problem=text)


def _toml(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"'}
    return '"' + "".join(escapes.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'
