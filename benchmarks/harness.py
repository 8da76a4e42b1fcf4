"""Runs a row: a process for each contender, agreement first, then rounds that interleave.

All contenders of a row are alive together, and only one works at a time: A B C, A B C, … so that a
slow minute of the machine hits everyone. A turn repeats the work until it takes ``TURN`` seconds.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.row import DisagreementError, Row

#: How long a turn takes at least, in seconds.
TURN = 0.1

#: How long the machine must have been at rest before a turn, in seconds.
REST = 0.05


class ContenderError(Exception):
    """A contender's process failed; the message is its traceback."""


@dataclass(frozen=True)
class Figure:
    """What a contender needed: the median over the rounds, and where the middle half lay."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: list[float]) -> "Figure":
        if len(figures) < 4:
            return cls(statistics.median(figures), min(figures), max(figures))
        low, median, high = statistics.quantiles(figures, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Result:
    """A row as it was measured here; ``failures`` has a line for each that could not take part.

    ``disturbed``: other programs kept the machine busy, so that the figures mean little.
    """

    row: Row
    figures: Mapping[str, Figure]
    failures: Mapping[str, str]
    disturbed: bool = False

    @property
    def ours(self) -> Figure | None:
        return self.figures.get("pycyxwiz")

    def ratio(self, contender: str) -> float:
        """How many times our figure the contender's is; NaN where one of the two is missing."""
        if self.ours is None or contender not in self.figures:
            return math.nan
        return self.figures[contender].median / self.ours.median

    def meets(self, contender: str) -> bool | None:
        """Whether the promised floor is reached; None where there is none, or no figure."""
        ratio, floor = self.ratio(contender), self.row.floors.get(contender)
        return None if floor is None or math.isnan(ratio) else ratio >= floor

    @property
    def within_limit(self) -> bool | None:
        if self.row.limit is None or self.ours is None:
            return None
        return self.ours.median <= self.row.limit


class Rest:
    """Waits for moments in which nobody uses the machine: other programs, or the last contender's
    threads, which look out for more work for a while. Two threads that meet at a barrier suffer
    badly from a third one that needs one of their CPUs.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience

    def wait(self) -> None:
        while True:
            before = self._busy_seconds()
            time.sleep(REST)
            if self._busy_seconds() - before <= REST * len(os.sched_getaffinity(0)) / 8:
                return
            if self.patience <= 0:
                return
            self.patience -= REST

    @staticmethod
    def _busy_seconds() -> float:
        """What all CPUs together have worked; 0 where the system does not say."""
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        except OSError:
            return 0.0
        user, nice, system, _idle, _waiting, *interrupts = (int(field) for field in fields[1:])
        return (user + nice + system + sum(interrupts[:3])) / os.sysconf("SC_CLK_TCK")


class Worker:
    """One contender's process, seen from the parent."""

    def __init__(self, row: Row, contender: str, threads: int) -> None:
        self.contender = contender
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", row.name, contender, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parent.parent,
            env=peers.environment(threads),
        )

    def ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        try:
            print(json.dumps(command), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer = json.loads(line or '{"error": "its process died"}')
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def close(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def run(
    row: Row, chosen: set[str], threads: int, rounds: int | None = None, patience: float = 60.0
) -> Result:
    """Measures a row with our contender and those of the chosen peers.

    ``patience``: how many seconds its turns together wait for the machine to be at rest.
    """
    workers: list[Worker] = []
    figures: dict[str, list[float]] = {}
    failures: dict[str, str] = {}
    rest = Rest(patience)
    try:
        numbers: dict[str, int] = {}
        results: dict[str, np.ndarray] = {}
        with tempfile.TemporaryDirectory() as folder:
            for contender in row.contenders:
                if peers.peer_of(contender) not in chosen:
                    continue
                worker = Worker(row, contender, threads)
                workers.append(worker)
                try:
                    file = Path(folder, f"{len(workers)}.npy")
                    worker.ask(do="build", result=str(file))
                    if row.check is not None:
                        results[contender] = np.load(file)
                    numbers[contender] = _calls_per_turn(row, worker)
                except ContenderError as error:
                    failures[contender] = str(error).strip().splitlines()[-1]
        if row.check is not None and results:
            try:
                row.check(results)
            except DisagreementError as error:
                return Result(row, {}, {**failures, "all": f"not timed: {error}"})
        able = [worker for worker in workers if worker.contender in numbers]
        for index in range(rounds or row.rounds):
            # Everyone follows everyone else equally often.
            for worker in able if index % 2 == 0 else reversed(able):
                rest.wait()
                answer = worker.ask(do="run", number=numbers[worker.contender])
                figures.setdefault(worker.contender, []).append(answer["figure"])
    finally:
        for worker in workers:
            worker.close()
    medians = {name: Figure.of(values) for name, values in figures.items()}
    return Result(row, medians, failures, disturbed=rest.patience <= 0)


def ask_module(module: str, *arguments: object, threads: int) -> Any:
    """What a module of this package prints as JSON, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
        env=peers.environment(threads),
    )
    return json.loads(done.stdout)


def measure_limits(threads: int) -> Any:
    """What ``limits`` finds."""
    return ask_module("limits", threads, threads=threads)


def measure_sweep(threads: int) -> Any:
    """What ``sweep`` finds: library → number of threads → its lines."""
    counts = sorted({1, threads, *(2**i for i in range(1, threads.bit_length()))})
    counts = [count for count in counts if count <= threads]
    return {
        "pycyxwiz": {
            str(count): ask_module("sweep", count, "pycyxwiz", threads=count) for count in counts
        },
        "numpy": {str(threads): ask_module("sweep", threads, "numpy", threads=threads)},
    }


def _calls_per_turn(row: Row, worker: Worker) -> int:
    """Warms the contender up and finds how many calls make a turn."""
    if row.measures_itself:
        return 1
    number = 1
    while True:
        seconds = worker.ask(do="run", number=number)["figure"] * row.per * number
        if seconds >= TURN / 2:
            return max(1, round(number * TURN / seconds))
        number = max(number * 2, min(number * 100, math.ceil(number * TURN / max(seconds, 1e-9))))
