"""JUnit XML, which every continuous integration reads: a suite a problem, a case a claim and route."""

from __future__ import annotations

from xml.etree import ElementTree

from pkverify.evidence import Evidence, Run, Verdict


def run_junit(run: Run) -> bytes:
    """The run as JUnit XML: refuted is a failure, inconclusive an error, claims outside the order are skipped.

    For a claim of the paper as printed the failure is to stand otherwise than the registry says.
    """
    root = ElementTree.Element("testsuites", name="pkverify")
    for problem in run.problems:
        suite = ElementTree.SubElement(root, "testsuite", name=problem.name)
        for item in problem.evidence:
            _case(suite, problem.name, item)
        for route, reason in problem.refused.items():
            case = ElementTree.SubElement(suite, "testcase", classname=problem.name, name=f"route {route}")
            ElementTree.SubElement(case, "error", message=reason)
    if run.holes:
        suite = ElementTree.SubElement(root, "testsuite", name="holes")
        for identifier in run.holes:
            case = ElementTree.SubElement(suite, "testcase", classname="holes", name=identifier)
            ElementTree.SubElement(case, "error", message="no check looks at this claim")
    if run.interrupted or (run.verdict is Verdict.INCONCLUSIVE and root.find(".//error") is None):
        # Nothing failed, and yet the run is no pass.
        suite = ElementTree.SubElement(root, "testsuite", name="run")
        case = ElementTree.SubElement(suite, "testcase", classname="run", name="verdict")
        ElementTree.SubElement(case, "error", message="interrupted" if run.interrupted else "nothing holds")
    for suite in root:
        suite.set("tests", str(len(suite)))
        for outcome in ("failure", "error", "skipped"):
            suite.set("skipped" if outcome == "skipped" else f"{outcome}s", str(len(suite.findall(f".//{outcome}"))))
    for element in root.iter():
        element.attrib = {key: _written(value) for key, value in element.attrib.items()}
        element.text = _written(element.text or "") or None
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _written(text: str) -> str:
    """The text, without the control characters that XML has no way to write."""
    return "".join(c if c.isprintable() or c in "\t\n" else c.encode("unicode_escape").decode() for c in text)


def _case(suite: ElementTree.Element, problem: str, item: Evidence) -> None:
    name = f"{item.claim} ({item.route})" if item.route else item.claim
    case = ElementTree.SubElement(suite, "testcase", classname=problem, name=name, time=f"{item.seconds:.3f}")
    properties = ElementTree.SubElement(case, "properties")
    for key in ("verdict", "method", "residual", "tolerance", "form", "status", "expected"):
        value = item.verdict.value if key == "verdict" else getattr(item, key)
        if value not in {None, ""}:
            ElementTree.SubElement(properties, "property", name=key, value=str(value))
    if item.expected and item.verdict is not Verdict.INCONCLUSIVE:
        # A claim as printed passes when it came out as the registry says: a false one is expected to be refuted.
        if item.status != item.expected:
            message = f"{item.status}, and the registry says {item.expected}"
            ElementTree.SubElement(case, "failure", message=message).text = item.witness
    elif item.verdict is Verdict.REFUTED:
        ElementTree.SubElement(case, "failure", message=item.message).text = item.witness
    elif item.verdict is Verdict.INCONCLUSIVE:
        ElementTree.SubElement(case, "error", message=item.message)
    elif not item.verdict.holds:
        ElementTree.SubElement(case, "skipped", message=item.message)
