"""The table of docs/conformance.md: every adapter whose peer is installed, against every relation.

Run with the names of peers, or with none for all of them. The table goes to stdout, and with ``--json FILE`` all
reports go to a file. Peers that are not installed are named.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from pkverify.errors import InputError
from pkverify.testing.conform.check import check
from pkverify.testing.conform.peers import PEERS, adapters_of, as_json
from pkverify.testing.conform.planted import planted
from pkverify.testing.conform.report import ConformanceReport, table


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", help=f"of {', '.join(PEERS)}, and planted")
    parser.add_argument("--examples", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    reports: list[ConformanceReport] = []
    for name in arguments.peers or [*PEERS, "planted"]:
        try:
            found = [p.adapter for p in planted()] if name == "planted" else adapters_of(name)
        except InputError as error:
            print(f"{error.what}: {error.fix}", file=sys.stderr)
            continue
        for adapter in found:
            start = time.perf_counter()
            reports.append(check(adapter, examples=arguments.examples, seconds=arguments.seconds))
            print(f"{adapter.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print(table(reports))
    if arguments.json:
        arguments.json.write_text(as_json(reports) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
