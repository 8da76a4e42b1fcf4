"""``pycyxwiz shell``: an interactive session, with IPython where it is installed."""

import sys

from .startup import enabled_paths, run_all


def interact(*, startup: bool = True) -> int:
    """Start a session in which ``cx`` and the startup scripts' names are defined."""
    import pycyxwiz

    names = {"cx": pycyxwiz, **(run_all(enabled_paths()) if startup else {})}
    names["__name__"] = "__main__"
    defined = ", ".join(name for name in names if not name.startswith("_"))
    banner = f"pycyxwiz {pycyxwiz.__version__}, Python {sys.version.split()[0]}; defined: {defined}"
    try:
        from IPython.terminal.embed import InteractiveShellEmbed
    except ImportError:
        import code

        code.interact(banner, local=names, exitmsg="")
    else:
        InteractiveShellEmbed(banner1=banner + "\n", user_ns=names)()
    return 0
