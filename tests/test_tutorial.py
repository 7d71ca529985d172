"""docs/tutorial.rst, followed word for word in an environment with nothing else installed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.distributions import ROOT, make_environment, try_run

PAGE = ROOT / "docs" / "tutorial.rst"
BLOCK = re.compile(
    r"^\.\. code-block:: (?P<language>\w+)\n(?: +:caption: (?P<caption>.+)\n)?\n"
    r"(?P<body>(?:(?: {4}.*)?\n)+)"
    r"|^(?P<session>>>> (?:.+\n)+)",
    re.MULTILINE,
)
SESSION = """
import doctest, pathlib, sys
text = pathlib.Path("session.txt").read_text()
test = doctest.DocTestParser().get_doctest(text, {}, "tutorial", None, 0)
sys.exit(doctest.DocTestRunner().run(test).failed)
"""


def steps() -> Iterator[tuple[str, str]]:
    """Return the steps of the page in order: commands, files with captions, and sessions."""
    for found in BLOCK.finditer(PAGE.read_text()):
        if found["session"]:
            yield "session", found["session"]
        else:
            body = re.sub(r"^ {4}", "", found["body"], flags=re.MULTILINE).strip() + "\n"
            yield found["caption"] or found["language"], body


def test_the_tutorial_can_be_followed(wheels: dict[str, Path], tmp_path: Path) -> None:
    """Each command of the tutorial works, and prints what the page shows."""
    (_, setup), *rest = steps()
    install = shlex.split(setup.splitlines()[-1].removeprefix("$ "))
    assert install == ["pip", "install", "sequences-core[sqlite]", "sequences-contrib"]
    used = ("sequences-core", "sequences-sqlite", "sequences-contrib")
    python = make_environment(tmp_path / "environment", *(wheels[name] for name in used))
    project = tmp_path / "project"
    project.mkdir()
    kinds = set()
    sessions = ""
    for kind, body in rest:
        file, _, place = kind.partition(", ")
        kinds.add(file)
        if kind == "session":
            sessions += body + "\n"
        elif kind == "console":
            for command, output in commands(body):
                if command == "python manage.py shell":
                    continue
                if sessions:  # all of them are one shell's, which ends here
                    (project / "session.txt").write_text(sessions)
                    done = try_run(python, "manage.py", "shell", "-c", SESSION, cwd=project)
                    assert done.returncode == 0, done.stdout + done.stderr
                    sessions = ""
                program, *arguments = shlex.split(command)
                done = try_run(python.with_name(program), *arguments, cwd=project)
                printed = done.stdout + done.stderr
                assert done.returncode == 0, f"{command}: {printed}"
                for line in output:
                    assert line in printed, f"{command} prints {printed!r}, not {line!r}"
        else:
            path = project / file
            before = path.read_text() if place == "at the end" else ""
            path.write_text(before + "\n" + body)
    assert {"console", "session", "billing/settings.py", "invoices/tests.py"} <= kinds
    assert not sessions


def commands(body: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console, each with the lines that it is to print."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *output = part.splitlines()
        yield command, [line.strip() for line in output if line.strip()]
