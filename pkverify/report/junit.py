"""JUnit XML, which every continuous integration reads: a suite a problem, a case a claim and route."""

from __future__ import annotations

from xml.etree import ElementTree

from pkverify.evidence import Evidence, Run, Verdict


def run_junit(run: Run) -> bytes:
    """The run as JUnit XML: refuted is a failure, inconclusive an error, claims outside the order are skipped."""
    root = ElementTree.Element("testsuites", name="pkverify")
    for problem in run.problems:
        suite = ElementTree.SubElement(root, "testsuite", name=problem.name, tests=str(len(problem.evidence)))
        for item in problem.evidence:
            _case(suite, problem.name, item)
        for route, reason in problem.refused.items():
            case = ElementTree.SubElement(suite, "testcase", classname=problem.name, name=f"route {route}")
            ElementTree.SubElement(case, "error", message=reason)
    if run.holes:
        suite = ElementTree.SubElement(root, "testsuite", name="holes", tests=str(len(run.holes)))
        for identifier in run.holes:
            case = ElementTree.SubElement(suite, "testcase", classname="holes", name=identifier)
            ElementTree.SubElement(case, "error", message="no check looks at this claim")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _case(suite: ElementTree.Element, problem: str, item: Evidence) -> None:
    name = f"{item.claim} ({item.route})" if item.route else item.claim
    case = ElementTree.SubElement(suite, "testcase", classname=problem, name=name, time=f"{item.seconds:.3f}")
    properties = ElementTree.SubElement(case, "properties")
    for key in ("verdict", "method", "residual", "tolerance"):
        value = item.verdict.value if key == "verdict" else getattr(item, key)
        if value is not None:
            ElementTree.SubElement(properties, "property", name=key, value=str(value))
    if item.verdict is Verdict.REFUTED:
        ElementTree.SubElement(case, "failure", message=item.message).text = item.witness
    elif item.verdict is Verdict.INCONCLUSIVE:
        ElementTree.SubElement(case, "error", message=item.message)
    elif not item.verdict.holds:
        ElementTree.SubElement(case, "skipped", message=item.message)
