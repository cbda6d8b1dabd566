"""What pages of the documentation tell the reader to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from string import Template
from typing import NamedTuple


class Typed(NamedTuple):
    """A program and its arguments, and what it reads from standard input."""

    program: str
    arguments: list[str]
    environment: dict[str, str]
    reads: str = ""

    def __str__(self) -> str:
        return shlex.join([self.program, *self.arguments])


def blocks(text: str, language: str = r"\w+") -> list[tuple[str, str]]:
    """The code blocks of a page, or those of a language: their languages and what is in them."""
    return re.findall(rf"^```({language})\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&<>")
    lexer.whitespace_split = True
    return list(lexer)


def _lines(block: str) -> Iterator[str]:
    """Those of the shell: a text in quotes, or a backslash, goes on in the next one."""
    line = ""
    for part in block.replace("\\\n", " ").splitlines():
        line = f"{line}\n{part}" if line else part
        try:
            _words(line)
        except ValueError:
            continue
        yield line
        line = ""
    assert not line, f"quotes do not end: {line}"


def typed(text: str) -> Iterator[Typed]:
    """The commands of a page; a launcher such as mpiexec is left out before our own program."""
    variables: dict[str, str] = {}
    for _, block in blocks(text, "sh"):
        for line in _lines(block):
            line = Template(line).substitute(variables)
            for part in " ".join(map(_quoted, _words(line))).split(" && "):
                pipe = [shlex.split(command) for command in part.split(" | ")]
                if not pipe[-1]:
                    continue
                reads = " ".join(pipe[0][1:]) if len(pipe) > 1 else ""
                environment, words = _assigned(pipe[-1])
                if words:
                    yield _without_launcher(Typed(words[0], words[1:], environment, reads))
                else:
                    variables |= environment


def _quoted(word: str) -> str:
    return word if word in ("&&", "|", "<", ">") else shlex.quote(word)


def _assigned(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The variables that are given values before a command, and the command."""
    environment = {}
    while words and (given := re.fullmatch(r"([A-Z_]+)=(.*)", words[0], re.DOTALL)):
        environment[given[1]] = given[2]
        words = words[1:]
    return environment, words


def _without_launcher(command: Typed) -> Typed:
    if command.program in ("mpiexec", "srun", "taskset", "nice") and "truesparse" in command.arguments:
        start = command.arguments.index("truesparse")
        return command._replace(program="truesparse", arguments=command.arguments[start + 1 :])
    return command
