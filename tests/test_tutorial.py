"""docs/tutorial.rst, followed word for word in an environment with nothing else installed."""

from __future__ import annotations

import html
import http.cookiejar
import re
import shlex
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.distributions import ROOT, clean_environment, make_environment, try_run
from tests.servers.errors import wait_until
from tests.servers.ports import HOST, free_port, listens

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
SHELL = "python manage.py shell"
RUNSERVER = "python manage.py runserver"
CREATESUPERUSER = "python manage.py createsuperuser "
SITE = "http://127.0.0.1:8000"
PASSWORD = "a password of Ada's"


def steps() -> Iterator[tuple[str, str]]:
    """Yield what the page tells the reader to do, in order.

    A step is a console, a session of the shell, a file with its caption, or a page with its URL.
    """
    for found in BLOCK.finditer(PAGE.read_text()):
        if found["session"]:
            yield "session", found["session"]
        else:
            body = re.sub(r"^ {4}", "", found["body"], flags=re.MULTILINE).strip() + "\n"
            yield found["caption"] or found["language"], body


def test_the_tutorial_can_be_followed(wheels: dict[str, Path], tmp_path: Path) -> None:
    """Each command and page of the tutorial works, and shows what the tutorial says."""
    (_, setup), *rest = steps()
    install = shlex.split(setup.splitlines()[-1].removeprefix("$ "))
    assert install == ["pip", "install", "sequences-core[sqlite]", "sequences-contrib"]
    used = ("sequences-core", "sequences-sqlite", "sequences-contrib")
    project = Project(
        make_environment(tmp_path / "env", *(wheels[name] for name in used)), tmp_path
    )
    kinds = set()
    session = ""
    for kind, body in rest:
        file, _, place = kind.partition(", ")
        kinds.add(file)
        if kind == "session":
            session += body + "\n"
        elif kind == "console":
            if session:  # they are all of one shell, which ends here
                project.type(session)
                session = ""
            for command, output in commands(body):
                if command not in (SHELL, RUNSERVER):
                    project.run(command, output)
        elif kind.startswith(SITE):
            project.read(kind.removeprefix(SITE), body.splitlines())
        else:
            project.write(file, body, append=place == "at the end")
    assert {"console", "session", "billing/settings.py", "invoices/tests.py"} <= kinds
    assert any(kind.startswith(SITE) for kind in kinds)
    assert not session


def commands(body: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of a console, each with the lines that it is to print."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *output = part.splitlines()
        yield command, [line.strip() for line in output if line.strip()]


class Project:
    """The reader's project, and what the reader does with it."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python = python
        self.folder = folder / "project"
        self.folder.mkdir()

    def write(self, file: str, body: str, *, append: bool) -> None:
        path = self.folder / file
        before = path.read_text() if append else ""
        path.write_text(before + "\n" + body)

    def type(self, session: str) -> None:
        """Type a session into the shell, and compare what it prints."""
        (self.folder / "session.txt").write_text(session)
        done = try_run(self.python, "manage.py", "shell", "-c", SESSION, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, command: str, output: list[str]) -> None:
        """Run a command, and look for the lines that it is to print; an error is one of them."""
        if command.startswith(CREATESUPERUSER):  # it would ask for the password on a terminal
            command += " --noinput"
        program, *arguments = shlex.split(command)
        done = try_run(
            self.python.with_name(program),
            *arguments,
            cwd=self.folder,
            DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        )
        printed = done.stdout + done.stderr
        fails = any(line.startswith("CommandError: ") for line in output)
        assert done.returncode == int(fails), f"{command}: {printed}"
        for line in output:
            assert line in printed, f"{command} prints {printed!r}, not {line!r}"

    def read(self, path: str, output: list[str]) -> None:
        """Start the server, log in, and look for the lines that the page is to show."""
        with self.runserver() as site:
            jar = http.cookiejar.CookieJar()
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
            login = f"{site}/admin/login/?{urllib.parse.urlencode({'next': path})}"
            browser.open(login, timeout=60)
            (token,) = (cookie.value for cookie in jar if cookie.name == "csrftoken")
            form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token}
            answer = browser.open(login, urllib.parse.urlencode(form).encode(), timeout=60)
            assert answer.url == site + path
            page = html.unescape(answer.read().decode())
        for line in output:
            assert line in page, f"{path} shows {page!r}, not {line!r}"

    @contextmanager
    def runserver(self) -> Iterator[str]:
        port = free_port()
        site = f"{HOST}:{port}"
        command = [str(self.python), "manage.py", "runserver", "--noreload", site]
        log = self.folder / "runserver.log"
        with (
            log.open("w") as output,
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=clean_environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as server,
        ):
            try:
                wait_until(lambda: listens(port), f"The server did not start (see {log})")
                yield f"http://{site}"
            finally:
                server.kill()
