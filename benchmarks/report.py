"""What a run leaves behind: lines on the terminal, a JSON file, ``docs/performance.md``."""

import datetime
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import limits, peers, sweep
from benchmarks.harness import Figure, Result
from benchmarks.row import Row
from benchmarks.rows import ROWS

DOCS = Path(__file__).resolve().parent.parent / "docs"

NAMES = {
    "pycyxwiz": "pycyxwiz",
    "numpy": "NumPy",
    "numexpr": "numexpr",
    "torch": "PyTorch",
    "jax": "JAX",
    "keras": "Keras (JAX)",
    "sklearn": "scikit-learn",
}


def amount(value: float, unit: str) -> str:
    """Three digits and a unit that suits: ``0.62 ms``."""
    if unit != "s":
        return f"{value:.3g} {unit}"
    scale, name = next(
        (pair for pair in ((1, "s"), (1e-3, "ms")) if value >= pair[0]), (1e-6, "µs")
    )
    number = value / scale
    return f"{number:.0f} {name}" if number >= 100 else f"{number:.3g} {name}"


def ratio(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}×" if value < 9.95 else f"{value:.0f}×"


# --- the terminal --------------------------------------------------------------------------------


def lines_of(result: Result) -> list[str]:
    """A row as it is printed: our figure, then everyone's with the ratio to ours."""
    row, lines = result.row, [f"{result.row.name}: {result.row.title}"]
    for name, figure in result.figures.items():
        spread = f"{amount(figure.low, row.unit)} to {amount(figure.high, row.unit)}"
        line = f"  {name:22}{amount(figure.median, row.unit):>10}   {spread:24}"
        if name == "pycyxwiz":
            if row.limit is not None:
                line += f"limit {amount(row.limit, row.unit)}{_mark(result.within_limit)}"
        elif result.ours is not None:
            line += f"{ratio(result.ratio(name)):>7}"
            if name in row.floors:
                line += f"   floor {row.floors[name]:.2g}×{_mark(result.meets(name))}"
        lines.append(line.rstrip())
    lines += [f"  {name:22}failed: {reason}" for name, reason in result.failures.items()]
    if result.disturbed:
        lines.append("  DISTURBED: other programs kept the machine busy")
    return lines


def _mark(met: bool | None) -> str:
    return {True: "", False: "  MISSED", None: ""}[met]


# --- JSON ----------------------------------------------------------------------------------------


def about(threads: int) -> dict[str, Any]:
    """The machine and the versions that figures belong to."""
    model = platform.processor()
    flags: set[str] = set()
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "instructions": next(
            (name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags),
            platform.machine(),
        ),
        "cpus": os.cpu_count(),
        "memory_gb": round(gigabytes),
        "system": _system(),
        "python": platform.python_version(),
        "threads": threads,
        "versions": {
            peer: found for peer in peers.PEERS if (found := peers.version(peer)) is not None
        },
    }


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def save(
    path: Path, about: Mapping[str, Any], results: Sequence[Result], machine: Mapping[str, Any]
) -> None:
    """Writes the results; what an earlier run of the same set-up left there is kept.

    ``machine``: what was measured of ``limits`` and ``sweep``, under these names.
    """
    kept: dict[str, Any] = {}
    if path.exists():
        earlier = json.loads(path.read_text())
        if earlier["about"] == about:
            kept, before = earlier["rows"], earlier.get("machine", {})
            machine = {**before, **machine}
            if "limits" in before:
                machine["limits"] = limits.highest(before["limits"], machine["limits"])
    for result in results:
        kept[result.row.name] = {
            "date": datetime.date.today().isoformat(),
            "figures": {
                name: [figure.median, figure.low, figure.high]
                for name, figure in result.figures.items()
            },
            "failures": dict(result.failures),
            "disturbed": result.disturbed,
        }
    ordered = {name: kept[name] for name in ROWS if name in kept}
    stored = {"about": about, "rows": ordered, "machine": machine}
    path.write_text(json.dumps(stored, indent=1) + "\n")


def load(path: Path) -> tuple[dict[str, Any], list[Result], dict[str, Any]]:
    """What ``save`` wrote: about what, the rows, and the machine."""
    stored = json.loads(path.read_text())
    results = [
        Result(
            ROWS[name],
            {contender: Figure(*three) for contender, three in row["figures"].items()},
            row["failures"],
            row["disturbed"],
        )
        for name, row in stored["rows"].items()
        if name in ROWS
    ]
    return stored["about"], results, stored.get("machine", {})


# --- docs/performance.md -------------------------------------------------------------------------

PAGE = """\
# Performance

How pycyxwiz compares with its peers, measured on {date}. The page is generated by
`python -m benchmarks --write-docs`: to change it, change `benchmarks/`.

A cell says how many times our time (or memory) the peer needs: 5× means that pycyxwiz takes a
fifth. **Bold** figures are short of the floor that the project sets itself.

![Ratios, as a plot](images/performance.png)

| work | pycyxwiz | {peers} |
| --- | ---: | {rules} |
{rows}

## How it was measured

- Machine: {processor} ({instructions}), {cpus} CPUs, {memory_gb} GB; {system}; Python {python}.
- Versions: {versions}.
- {threads} threads for everyone; every process is kept on that many CPUs.
- Each contender runs in a process of its own, on the same data and dtype (float32). What it
  computes is compared with the others' before anything is timed.
- Contenders take turns: A B C, C B A, and so on, each beginning when the machine is at rest, if it
  ever is; figures are medians over the rounds. Our own spread, the middle half of the rounds,
  stands behind our figure.
- Peers run as their documentation recommends: JAX under `jit` with donated state, PyTorch in
  inference mode where nothing is trained, NumPy without temporaries in the training loop. Variants
  such as `fused=True` are listed by the variant's name.
{notes}{sections}
To repeat it: `pip install -r benchmarks/requirements.txt`, then `python -m benchmarks`.
"""


def cell(result: Result, peer: str) -> str:
    """All contenders of one peer in one row."""
    parts = []
    for name in result.figures:
        if peers.peer_of(name) != peer:
            continue
        text = ratio(result.ratio(name))
        if result.meets(name) is False:
            text = f"**{text}**"
        variant = name.partition(":")[2].replace("-", " ")
        parts.append(f"{variant} {text}".strip())
    return ", ".join(parts)


def our_cell(result: Result) -> str:
    row, figure = result.row, result.ours
    if figure is None:
        return ""
    text = amount(figure.median, row.unit)
    if result.within_limit is False:
        text = f"**{text}**"
    text = f"{text} ({amount(figure.low, row.unit)} to {amount(figure.high, row.unit)})"
    for name in result.figures:
        if name.startswith("pycyxwiz:"):
            text += f", {name.partition(':')[2]} {ratio(result.ratio(name))}"
    return text


ROOFLINE = """
## How far from the machine's limits

The least time that a row's additions and multiplications, and the bytes that it must read and
write, take at the rates that this machine reached at best: {operations} (the best product of
NumPy's, some 90 % of what the processor has) and, by how much data there is, {bandwidth}. On a
busy machine a row may beat a rate that was measured in a worse moment. A function such as exp
counts as 20 operations, which are rarely all fused multiply-adds: 100 % is out of reach there.

| work | pycyxwiz | least time | reached | what keeps us from it |
| --- | ---: | ---: | ---: | --- |
{rows}
"""

SWEEP = """
## Costs as work grows

![Time against size](images/performance-size.png)

From some ten elements to 10⁸, each size twice the one before. A cliff would be a size at which an
element takes more than 1.3 times what it takes at half the size, but for those where the data
outgrows a cache. {cliffs}
"""


def roofline_section(results: Sequence[Result], found: Mapping[str, Any]) -> str:
    rows = []
    for result in results:
        row, ours = result.row, result.ours
        least = limits.least_time(found, row.operations, row.traffic)
        if ours is None or math.isnan(least):
            continue
        rows.append(
            f"| {row.title} | {amount(ours.median, 's')} | {amount(least, 's')} "
            f"| {least / ours.median:.0%} | {row.why} |".replace("*", "\\*")
        )
    bandwidth = ", ".join(
        f"{rate / 1e9:.0f} GB/s at {size / 1e6:.0f} MB" for size, rate in found["bandwidth"]
    )
    return ROOFLINE.format(
        operations=f"{found['operations'] / 1e9:.0f} · 10⁹ a second",
        bandwidth=bandwidth,
        rows="\n".join(rows),
    )


def cliff_lines(measured: Mapping[str, Any]) -> list[str]:
    """One line for each cliff of ours, at any number of threads."""
    return [
        f"{name} at {cliff.size:,} elements on {threads} threads: {cliff.times:.2f}×"
        for threads, lines in measured["pycyxwiz"].items()
        for name, points in lines.items()
        for cliff in sweep.cliffs(points, sweep.WORKS[name], sweep.caches(int(threads)))
    ]


def sweep_section(measured: Mapping[str, Any]) -> str:
    found = cliff_lines(measured)
    text = "There is none." if not found else "These are left:\n\n- " + "\n- ".join(found)
    plot_sweep(measured, DOCS / "images" / "performance-size.png")
    return SWEEP.format(cliffs=text)


def plot_sweep(measured: Mapping[str, Any], path: Path) -> None:
    """A panel for each work: ours with each number of threads, and NumPy."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, panels = plt.subplots(2, 3, figsize=(11, 6.4), layout="constrained", sharex=True)
    for name, axes in zip(sweep.WORKS, panels.flat, strict=True):
        for threads, lines in measured["pycyxwiz"].items():
            label = f"pycyxwiz, {threads} thread{'s' if threads != '1' else ''}"
            axes.plot(*zip(*lines[name], strict=True), marker=".", label=label)
        for threads, lines in measured["numpy"].items():
            axes.plot(
                *zip(*lines[name], strict=True), "--", color="gray", label=f"NumPy, {threads}"
            )
        axes.set_title(name, fontsize=9)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(alpha=0.3)
    for axes in panels[-1]:
        axes.set_xlabel("elements")
    for axes in panels[:, 0]:
        axes.set_ylabel("seconds")
    panels[0, 0].legend(fontsize=8)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def write_docs(
    about: Mapping[str, Any], results: Sequence[Result], machine: Mapping[str, Any]
) -> None:
    """Renders the page and its plots."""
    (DOCS / "images").mkdir(parents=True, exist_ok=True)
    sections = ""
    if "limits" in machine:
        sections += roofline_section(results, machine["limits"])
    if "sweep" in machine:
        sections += sweep_section(machine["sweep"])
    shown = [
        peer
        for peer in peers.PEERS
        if peer != "pycyxwiz" and any(cell(result, peer) for result in results)
    ]
    rows = [
        " | ".join(
            [
                "| " + result.row.title.replace("*", "\\*"),
                our_cell(result),
                *(cell(result, peer) for peer in shown),
            ]
        )
        + " |"
        for result in results
    ]
    absent = [NAMES[peer] for peer in peers.PEERS if peer not in about["versions"]]
    notes = [f"- Not installed, so left out: {', '.join(absent)}.\n"] if absent else []
    notes += [
        f"- `{result.row.name}`, {name}: {reason}\n"
        for result in results
        for name, reason in result.failures.items()
    ]
    if disturbed := [f"`{result.row.name}`" for result in results if result.disturbed]:
        where = "throughout" if len(disturbed) == len(results) else f"during {', '.join(disturbed)}"
        notes.append(f"- Other programs kept the machine busy {where}: spreads are wide.\n")
    page = PAGE.format(
        **{
            **about,
            "date": datetime.date.today().isoformat(),
            "versions": ", ".join(f"{NAMES[p]} {v}" for p, v in about["versions"].items()),
            "peers": " | ".join(NAMES[peer] for peer in shown),
            "rules": " | ".join("---:" for _ in shown),
            "rows": "\n".join(rows),
            "notes": "".join(notes),
            "sections": sections,
        }
    )
    (DOCS / "performance.md").write_text(page)
    plot(results, DOCS / "images" / "performance.png")


def plot(results: Sequence[Result], path: Path) -> None:
    """A dot for each contender of each row, on a logarithmic scale; right of 1 we are ahead."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    results = [result for result in results if result.ours is not None]
    fig, axes = plt.subplots(figsize=(9, 1.2 + 0.27 * len(results)), layout="constrained")
    for peer in peers.PEERS:
        points = [
            (result.ratio(name), index)
            for index, result in enumerate(results)
            for name in result.figures
            if peers.peer_of(name) == peer != "pycyxwiz"
        ]
        if points:
            axes.scatter(*zip(*points, strict=True), s=28, alpha=0.85, label=NAMES[peer])
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.set_yticks(range(len(results)), [result.row.name for result in results], fontsize=8)
    axes.margins(y=0.02)
    axes.invert_yaxis()
    axes.grid(axis="x", which="both", alpha=0.3)
    axes.set_xlabel("the peer's time ÷ ours")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.04), ncols=6, fontsize=8, frameon=False)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def unknown_rows(names: Sequence[str]) -> list[str]:
    return [name for name in names if not select([name])]


def select(names: Sequence[str]) -> list[Row]:
    """Rows by name or, where no row has that name, by its beginning; all where none is named."""
    if not names:
        return list(ROWS.values())
    return [
        row
        for row in ROWS.values()
        if any(
            row.name == name or (name not in ROWS and row.name.startswith(f"{name}-"))
            for name in names
        )
    ]
