"""Entry of the child process: ``python -I launch.py PLAN STATUS COURTESY``, three descriptors.

Loads ``pycyxwiz.scripting`` under its own name without the rest of pycyxwiz, which a script may
not need; the script's own ``import pycyxwiz`` finds the whole package.
"""

import os
import sys
import types


def _import_child() -> types.ModuleType:
    package = types.ModuleType("pycyxwiz")
    here = os.path.dirname(os.path.abspath(__file__))
    package.__path__ = [os.path.dirname(os.path.dirname(here))]
    sys.modules["pycyxwiz"] = package
    from pycyxwiz.scripting.sandbox import child

    del sys.modules["pycyxwiz"]
    return child


if __name__ == "__main__":
    sys.exit(_import_child().main())
