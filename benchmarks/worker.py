"""A contender's process: builds one contender of one row, then runs it whenever it is told to.

Called as ``python -m benchmarks.worker ROW CONTENDER THREADS``. Commands and answers are JSON, a
line each:

    {"do": "build", "result": FILE}   builds, runs once, writes the result to FILE  → {"seconds": …}
    {"do": "run", "number": N}        runs N times in a row                         → {"figure": …}

Whatever goes wrong is answered by {"error": TEXT}; the process ends when its input ends.
"""

import gc
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from benchmarks import peers


def main(row_name: str, contender: str, threads: int) -> None:
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peers.limit_cpus(threads)

    import numpy as np

    from benchmarks.rows import ROWS

    # From here on this folder is off the path: pycyxwiz is the installed one, not the checkout's.
    here = Path(__file__).resolve().parent.parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]

    row = ROWS[row_name]
    run: Any = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "build":
                start = time.perf_counter()
                run = row.contenders[contender](row.data())
                result = run()
                if row.check is not None:
                    np.save(command["result"], np.asarray(result))
                del result
                answer = {"seconds": time.perf_counter() - start}
            else:
                answer = {"figure": measure(run, command["number"], row.measures_itself) / row.per}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)


def measure(run: Any, number: int, measures_itself: bool) -> float:
    """The mean figure of ``number`` calls."""
    if measures_itself:
        return sum(run() for _ in range(number)) / number
    gc.collect()
    gc.disable()
    calls = range(number)
    start = time.perf_counter()
    for _ in calls:
        run()
    seconds = time.perf_counter() - start
    gc.enable()
    return seconds / number


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
