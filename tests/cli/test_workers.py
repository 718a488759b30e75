"""`keras-vit train --workers`: what becomes of the others when one is gone."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from keras_vit.cli import launch

ROOT = pathlib.Path(__file__).resolve().parents[2]
SLEEP = "print(flush=True); time.sleep(60)"
# Waits for one that is gone, as in the middle of a step.
STUCK = f"import signal, time; signal.signal(15, signal.SIG_IGN); {SLEEP}"
# Takes a while to write its state.
SLOW = f"""import signal, sys, time
def end(*_): time.sleep(1); sys.exit(143)
signal.signal(15, end); {SLEEP}"""


def start(*programs, folder):
    """A process and a log per program."""
    logs = [folder / str(number) for number in range(len(programs))]
    for log in logs:
        log.write_text("its last words\n")
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        for program in programs
    ]
    for process in processes:
        with process.stdout as said:
            said.readline()  # it listens to signals now
    return processes, logs


def test_a_killed_worker_ends_the_others_in_time(tmp_path, capfd, monkeypatch):
    """One that is killed is named, one that cannot answer is not waited for."""
    monkeypatch.setattr(launch, "LOST_GRACE", 0.5)
    processes, logs = start(STUCK, STUCK, folder=tmp_path)
    processes[1].kill()
    begin = time.monotonic()
    code = launch._watch(processes, logs)
    took = time.monotonic() - begin

    assert 128 + signal.SIGKILL == code and took < 10
    said = capfd.readouterr().err
    assert "its last words" in said
    assert "worker 1 of 2 was ended by SIGKILL, and the others were stopped" in said
    assert "The same command goes on from the last state" in said
    assert -signal.SIGKILL == processes[0].returncode
    assert launch.LOST_GRACE < launch.GRACE < 25


def test_a_clean_stop_leaves_time_to_write(tmp_path, capfd, monkeypatch):
    """Who was told to stop and did so does not cut short the state of another."""
    monkeypatch.setattr(launch, "LOST_GRACE", 0.0)
    processes, logs = start(SLOW, "raise SystemExit(143)", folder=tmp_path)
    launch._watch(processes, logs)

    assert 143 == processes[0].returncode
    assert "exit code 143" in capfd.readouterr().err


def children(number):
    """Process numbers of the workers of a launcher, by their task."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text().rpartition(")")[2].split()
            variables = (path / "environ").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        config = [v for v in variables if v.startswith(b"TF_CONFIG=")]
        if int(stat[1]) == number and config:
            task = json.loads(config[0].partition(b"=")[2])["task"]
            found[task["index"]] = int(path.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_run_goes_on_after_a_worker_was_killed(tmp_path, victim):
    """SIGKILL in the middle: all end within 30 s, the same command finishes."""
    sizes = {"patch_size": 16, "width": 16, "depth": 1, "heads": 2, "mlp_dim": 32}
    words = [sys.executable, "-m", "keras_vit", "train", "--recipe", "digits"]
    words += ["--output", str(tmp_path / "run"), "--workers", "2", "--epochs", "40"]
    words += ["--set", f"model={sizes}", "--set", "save_minutes=0"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    options = {"env": {**os.environ, "PYTHONPATH": path}, "text": True}
    pipe = subprocess.PIPE
    with open(tmp_path / "said", "w") as said:
        launcher = subprocess.Popen(words, stdout=said, stderr=pipe, **options)
    while not list((tmp_path / "run" / "states").glob("*.npz")):
        if launcher.poll() is not None:
            pytest.fail(launcher.communicate()[1])
        time.sleep(0.1)
    others = children(launcher.pid)
    os.kill(others.pop(victim), signal.SIGKILL)
    begin = time.monotonic()
    last = next(line for line in launcher.stderr if "was ended by" in line)
    took = time.monotonic() - begin
    launcher.communicate()

    assert f"worker {victim} of 2 was ended by SIGKILL" in last and took < 30
    assert not any(os.path.exists(f"/proc/{number}") for number in others.values())
    assert 128 + signal.SIGKILL == launcher.returncode
    again = subprocess.run(words, stdout=pipe, stderr=pipe, **options)
    assert 0 == again.returncode, again.stderr
    assert "Going on after epoch" in again.stdout
    print(f"all ended {took:.1f} s after worker {victim} was killed")
