"""The hostile script: ``python storm.py CONFIG NAME...`` runs the named attacks one after the other.

It prints how each went. ``attacks`` lies beside it.
"""

import json
import sys

from attacks import ATTACKS, arena


def main():
    vars(arena).update(json.loads(sys.argv[1]))
    for name in sys.argv[2:]:
        print("BEGIN", name, flush=True)
        try:
            evidence = ATTACKS[name]()
        except BaseException as error:
            print("FAILED", name, f"{type(error).__name__}: {error}"[:200], flush=True)
        else:
            print("WON" if evidence else "FAILED", name, repr(evidence)[:200], flush=True)


if __name__ == "__main__":
    main()
