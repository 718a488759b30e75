"""A process that is slow, dies or is interrupted leaves a message and nothing else."""

import os
import signal
import sys
import time

import pytest

from keras_vit.export.processors import child
from keras_vit.export.processors.child import ChildProcess

READY = "import sys, os, time, json\nprint('{}', flush=True)\n"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(child, "BEAT", 0.05)


def start(code, ready=READY, limit=30.0):
    """A child that runs this Python code after it said that it is ready."""
    return ChildProcess(
        "fake", [sys.executable, "-c", ready + code], {}, limit, verbose=0
    )


def gone(pid):
    """Whether a process has ended, given a moment."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{pid}/stat") as file:
            if file.read().split()[2] == "Z":
                return True
        time.sleep(0.02)
    return False


def test_requests_are_answered_in_order():
    """One line of JSON each; seconds are those spent waiting."""
    echo = start("for line in sys.stdin: print(line.strip(), flush=True)")

    assert [{"a": 1}, {"b": "é"}] == [echo.ask({"a": 1}), echo.ask({"b": "é"})]
    assert 0 < echo.seconds < 30
    echo.close()


def test_the_time_limit_is_told_with_the_way_to_raise_it():
    """It counts while the process works, and ends it with what it started."""
    fork = "if (pid := os.fork()): print(json.dumps(pid), flush=True)\ntime.sleep(60)"
    slow = start(fork, ready="import os, time, json\n")
    pid = slow.first

    with pytest.raises(TimeoutError, match="time_limit=0.2 s.*--time-limit"):
        slow._limit = 0.2
        slow.ask({})
    slow.close()

    assert gone(pid)


def test_a_start_that_takes_too_long_ends():
    """The limit holds before the first answer, too."""
    with pytest.raises(TimeoutError, match="fake: must be done.*0 answers"):
        start("", ready="import time; time.sleep(60)\n", limit=0.1)


@pytest.mark.parametrize(
    "code, told",
    [
        ("sys.exit('no such wheel')", "exit code 1: no such wheel"),
        ("os.kill(os.getpid(), 11)", "signal SIGSEGV: no message"),
        ("sys.stdin.readline(); print('junk', flush=True)", "got 'junk'"),
        ("""sys.stdin.readline(); print('{"error": "E: x."}', flush=True)""", "E: x"),
    ],
)
def test_an_end_is_told_in_its_last_words(code, told):
    """Exit code or signal, and what it wrote to standard error."""
    dying = start(code)

    with pytest.raises(ChildProcessError, match=told):
        dying.ask({})
    dying.close()


def test_ctrl_c_ends_the_process(monkeypatch):
    """An interruption while it starts leaves no process behind."""
    found = []

    def interrupt(self, text):
        found.append(True)
        raise KeyboardInterrupt

    monkeypatch.setattr(child.Status, "show", interrupt)
    started = []
    popen = child.subprocess.Popen

    def remember(*words, **options):
        started.append(popen(*words, **options))
        return started[0]

    monkeypatch.setattr(child.subprocess, "Popen", remember)

    with pytest.raises(KeyboardInterrupt):
        start("", ready="import time; time.sleep(60)\n")
    assert found and -signal.SIGKILL == started[0].returncode
