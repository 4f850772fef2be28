"""A process that has imported torch and all of ticketctl, which takes seconds, and forks for each command typed.

It has no threads yet when it forks. What it forks is a process like any other: with arguments, folder, environment and
streams of its own, signalled as one, and it leaves with an exit code. Only its imports were made before.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
QUIET = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

CODE = """
import gc, importlib, json, os, pkgutil, runpy, sys, tempfile
import torch, torch._dynamo, filelock, jinja2, numcodecs
import matplotlib.backends.backend_agg, matplotlib.backends.backend_pdf, matplotlib.backends.backend_svg
import ticketctl.__main__
from tests.glance import glance

for found in pkgutil.walk_packages(ticketctl.__path__, "ticketctl."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
glance()
gc.collect()
gc.freeze()  # nothing of this is garbage, and to look for some in each child costs more than many a command
ended = {}

def child(job):
    os.setsid()
    os.chdir(job["place"])
    os.environ.clear()
    os.environ.update(job["environment"])
    tempfile.tempdir = None
    sys.path[:0] = [job["place"]]
    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = job["argv"]
    if sys.argv[0] == "ticketctl":
        ticketctl.__main__.main()
    else:
        sys.argv = sys.argv[1:]
        if sys.argv[0] == "-m":
            sys.argv = sys.argv[1:]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")

def begin(job):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(job)
            code = 0
        except SystemExit as leaving:
            code = leaving.code or 0
        except BaseException as problem:
            sys.stderr.write(repr(problem))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return pid

def code_of(pid, options):
    if pid not in ended:
        found, status = os.waitpid(pid, options)
        if not found:
            return None
        ended[pid] = os.waitstatus_to_exitcode(status)
    return ended[pid]

for line in sys.stdin:
    asked = json.loads(line)
    if "argv" in asked:
        answer = begin(asked)
    else:
        answer = code_of(asked["pid"], 0 if asked["wait"] else os.WNOHANG)
    print(json.dumps(answer), flush=True)
os._exit(0)  # there is nothing to put away
"""


class Warm:
    """The process of this test run."""

    _only: Warm | None = None

    @classmethod
    def one(cls) -> Warm:
        """It is there from the first question on."""
        cls._only = cls._only or cls()
        return cls._only

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **QUIET, "PYTHONPATH": str(ROOT)},
        )

    def ask(self, **question: object) -> int | None:
        """Its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: int | None = json.loads(self.process.stdout.readline())
        return answer

    def begin(
        self, argv: Sequence[str], place: Path, environment: Mapping[str, str], out: Path, err: Path
    ) -> Child:
        """A process in `place`: `ticketctl …`, or `python` with a script or `-m` and a module."""
        pid = self.ask(
            argv=[*argv], place=str(place), environment=dict(environment), out=str(out), err=str(err)
        )
        assert pid
        return Child(self, pid, out, err)

    @classmethod
    def close(cls) -> None:
        """Let it go."""
        if cls._only is not None:
            cls._only.process.communicate()
            cls._only = None


@dataclass
class Child:
    """What was begun; as `subprocess.Popen`, as far as tests need it. It is alone in its session."""

    warm: Warm
    pid: int
    out: Path
    err: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        self.returncode = self.warm.ask(pid=self.pid, wait=False)
        return self.returncode

    def wait(self) -> int:
        """Its exit code, in the end."""
        self.returncode = self.warm.ask(pid=self.pid, wait=True)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Unless it has left."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """At once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """What it wrote to stdout and to stderr, once it has left."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return self.out.read_text(), self.err.read_text()


def marathon(script: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """The summary of one of the marathons beside this file, run in `folder`: it may fork, as it has one thread."""
    out, err = folder / "marathon.out", folder / "marathon.err"
    environment = {**os.environ, **QUIET, "TMPDIR": str(folder)}
    argv = ["python", str(ROOT / "tests" / script), *arguments]
    code = Warm.one().begin(argv, folder, environment, out, err).wait()
    assert code == 0, out.read_text() + err.read_text()
    summary: dict[str, Any] = json.loads(out.read_text().splitlines()[-1])
    return summary
