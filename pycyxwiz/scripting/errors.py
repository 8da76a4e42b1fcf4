"""The exceptions of ``pycyxwiz.scripting``."""


class SandboxError(PermissionError):
    """The sandbox refused what a script did; ``action`` says what, ``line`` where (0: not known).

    It is a ``PermissionError``, so libraries that can do without what they ask for go on.
    """

    def __init__(self, action: str, line: int = 0) -> None:
        super().__init__(action)
        self.action = action
        self.line = line

    def __str__(self) -> str:
        return f"the sandbox refuses {self.action}" + (f" (line {self.line})" if self.line else "")


class SandboxUnavailable(RuntimeError):
    """This machine can't hold a script: the message names what is missing. Nothing was run."""
