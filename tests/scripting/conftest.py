"""What the scripting tests share: the command as users run it, in a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("scripting", deadline=None, database=None, derandomize=True)
settings.load_profile("scripting")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pycyxwiz(tmp_path: Path) -> Command:
    """``pycyxwiz("run", "x.cyx")`` runs the command in ``tmp_path`` and captures its output."""

    def command(*arguments: str, **options: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "pycyxwiz.cli", *arguments],
            **{"input": "", **options},  # type: ignore[call-overload]
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return command


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """``write("x.cyx", text)`` makes a file in ``tmp_path``."""

    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return make
