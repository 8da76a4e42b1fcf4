"""Which modules a script's own ``import`` may name in the sandbox. Libraries import what they like.

This list makes refusals early and readable. It is no wall: what a module could do, the kernel
refuses anyway.
"""

import os
import sys
from collections.abc import Collection, Iterable

# Of the standard library everything but what can only fail in the sandbox.
_REFUSED = {
    "starts programs": """
        subprocess _posixsubprocess multiprocessing _multiprocessing pty posix webbrowser venv
        ensurepip pip idlelib turtledemo
    """,
    "reaches networks": """
        socket _socket ssl _ssl socketserver http.client http.server urllib.request ftplib imaplib
        nntplib poplib smtplib telnetlib xmlrpc wsgiref antigravity
    """,
    "calls native code": "ctypes _ctypes",
    "drives a terminal or a screen": "curses _curses readline termios tty tkinter _tkinter turtle",
}
_REASONS = {name: reason for reason, names in _REFUSED.items() for name in names.split()}

_LIBRARIES = """
pycyxwiz numpy pandas scipy sklearn matplotlib mpl_toolkits pylab seaborn plotly statsmodels
sympy mpmath networkx PIL imageio skimage cv2 pyarrow fastparquet polars h5py netCDF4 xarray
openpyxl xlsxwriter xlrd yaml toml tomli orjson ujson msgpack safetensors onnx tqdm joblib
threadpoolctl dateutil pytz tzdata six packaging typing_extensions attr attrs pydantic numba
llvmlite cython jax jaxlib flax optax torch torchvision xgboost lightgbm catboost nltk regex
pint uncertainties patsy tabulate rich cycler kiwisolver contourpy fontTools
"""
LIBRARIES = frozenset(_LIBRARIES.split())


def refusal(name: str, *, own_folders: Iterable[str], libraries: Collection[str] = ()) -> str:
    """Why a script may not import the module ``name``; empty when it may.

    ``own_folders`` are where the script's own modules are; ``libraries`` are allowed in addition.

    >>> refusal("urllib.request", own_folders=[])
    'importing urllib.request, which reaches networks'
    >>> refusal("urllib.parse", own_folders=[])
    ''
    """
    reason = _reason(name)
    if reason:
        return f"importing {name}, which {reason}"
    top = name.split(".")[0]
    if top in sys.stdlib_module_names or top in LIBRARIES or top in {"__main__", *libraries}:
        return ""
    if any(is_module(folder, top) for folder in own_folders):
        return ""
    return f"importing {name}, which is not on its list of libraries"


def is_refused(name: str) -> bool:
    """Whether ``name`` is a module of the standard library that only fails in the sandbox."""
    return _reason(name) != ""


def is_module(folder: str, name: str) -> bool:
    """Whether ``folder`` holds a module or a package of that name."""
    path = os.path.join(folder, name)
    return os.path.isdir(path) or os.path.isfile(path + ".py")


def _reason(name: str) -> str:
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return next((_REASONS[prefix] for prefix in prefixes if prefix in _REASONS), "")
