"""Shell completion: the scripts that the command hands out are scripts, and complete what is typed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import environment
from tests.missing import missing

BIN = Path(sys.executable).parent


def _shell(shell: str, script: str, folder: Path) -> str:
    """Run a script in a shell that finds the command and has a home of its own; its output."""
    if shutil.which(shell) is None:
        missing(f"{shell} is not there: apt-get install {shell}")
    where = environment() | {"HOME": str(folder), "PATH": f"{BIN}:{os.environ['PATH']}", "SHELL": f"/bin/{shell}"}
    command = [shell, *({"bash": ["--norc"], "zsh": ["--no-rcs"]}[shell]), "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, env=where, cwd=folder, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_is_one_of_the_shells(shell: str, tmp_path: Path) -> None:
    """`volvere --show-completion` knows in which shell it was asked, and what it prints is read by that shell without an error."""
    script = _shell(shell, "volvere --show-completion; true", tmp_path)
    assert "volvere" in script
    (tmp_path / "script").write_text(script)
    _shell(shell, f"{shell} -n script", tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_it_can_be_installed(shell: str, tmp_path: Path) -> None:
    """`volvere --install-completion` writes into the home directory what a new shell then reads."""
    assert "installed" in _shell(shell, "volvere --install-completion; true", tmp_path)
    rc = tmp_path / f".{shell}rc"
    assert rc.is_file()
    _shell(shell, f"{shell} -n {rc}", tmp_path)


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    """Who types the beginning of a command gets the rest."""
    ask = (
        'eval "$(_VOLVERE_COMPLETE=source_bash volvere)"\n'
        "complete_line() { COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); "
        '$(complete -p volvere | sed "s/.*-F \\([^ ]*\\) .*/\\1/") volvere; echo "${COMPREPLY[*]}"; }\n'
        'complete_line "volvere doc"; complete_line "volvere topics c"; complete_line "volvere doctor --kaf"\n'
    )
    said = _shell("bash", ask, tmp_path).splitlines()
    assert [sorted(line.split()) for line in said] == [["doctor"], ["check", "create"], ["--kafka"]]
