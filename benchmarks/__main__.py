"""The command line: ``python -m benchmarks [row …]``."""

import argparse
import os
import sys
from pathlib import Path

from benchmarks import harness, peers, report
from benchmarks.rows import ROWS

#: What is measured beside the rows.
MACHINE = {
    "limits": "operations and bytes a second that the machine reaches: the rooflines",
    "sweep": "time against size, from ten elements to 10⁸, on 1 to all threads; and cliffs",
}


def main() -> int:
    arguments = _parse()
    if arguments.list:
        for row in ROWS.values():
            print(f"{row.name:22}{row.title}")
        for name, title in MACHINE.items():
            print(f"{name:22}{title}")
        return 0
    named = [name for name in arguments.rows if name not in MACHINE]
    rows = report.select(named) if named or not arguments.rows else []
    if unknown := report.unknown_rows(named):
        sys.exit(
            f"unknown rows: {', '.join(unknown)}; `python -m benchmarks --list` names them all"
        )
    chosen = {"pycyxwiz", *arguments.peers}
    missing = [peer for peer in peers.PEERS if peer in chosen and peers.version(peer) is None]
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}\n")
    results = []
    for row in rows:
        result = harness.run(
            row,
            chosen - set(missing),
            arguments.threads,
            arguments.rounds,
            arguments.patience,
        )
        results.append(result)
        print("\n".join(report.lines_of(result)), flush=True)
        if arguments.json:
            report.save(arguments.json, report.about(arguments.threads), [result], {})
    machine = {}
    if not arguments.rows or "limits" in arguments.rows:
        machine["limits"] = harness.measure_limits(arguments.threads)
    if not arguments.rows or "sweep" in arguments.rows:
        machine["sweep"] = harness.measure_sweep(arguments.threads)
        print("cliffs:", "; ".join(report.cliff_lines(machine["sweep"])) or "none")
    if arguments.json:
        report.save(arguments.json, report.about(arguments.threads), [], machine)
    if arguments.write_docs:
        if arguments.json:
            report.write_docs(*report.load(arguments.json))
        else:
            report.write_docs(report.about(arguments.threads), results, machine)
    return 0


def _parse() -> argparse.Namespace:
    known = [peer for peer in peers.PEERS if peer != "pycyxwiz"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="a row, or how its name begins")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument(
        "--peers",
        type=lambda text: text.split(","),
        default=known,
        help=f"of {','.join(known)}; all that are installed when not given",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="for every contender; the CPUs of this process when not given",
    )
    parser.add_argument(
        "--rounds", type=int, help="turns of each contender; else the row's own number"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long a row waits for a quiet machine",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures; rows already there, of the same machine and versions, are kept",
    )
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="render docs/performance.md, from FILE where --json names one",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.peers) - set(known):
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
