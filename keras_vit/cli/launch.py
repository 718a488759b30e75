"""`keras-vit train --workers N`: N processes, started, watched and ended together."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

from keras_vit.cli.option_rules import UsageError

GRACE = 20.0  # s that the others have to write their state after a signal to stop
LOST_GRACE = 5.0  # s, when one is gone: without it no step can be finished
STOPPED = (128 + signal.SIGTERM, 128 + signal.SIGINT)  # exit codes of a clean stop
LINES = 12  # of what a worker said last


def launch(args):
    """Train in several processes on this machine.

    Every process runs the same command; the first shows its progress here. When one
    ends badly the others are ended too, and the last words of it are shown.

    Args:
        args: of `keras-vit train`, with `workers` and the `words` it was made from.

    Returns:
        Exit code: 0, or that of the process that ended first.

    Raises:
        UsageError: when this process is a worker already.
    """
    if "TF_CONFIG" in os.environ:
        raise UsageError(
            "--workers: starts workers on this machine, got TF_CONFIG, which says that "
            "this process is one. Leave one of them out."
        )
    words = _without_workers(args.words)
    with tempfile.TemporaryDirectory() as folder:
        logs = [os.path.join(folder, str(n)) for n in range(args.workers)]
        processes = _start(words, logs)
        handlers = {
            number: signal.signal(number, lambda n, frame: _send_signal(processes, n))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            return _watch(processes, logs)
        finally:
            _end(processes, 0.0)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _without_workers(arguments):
    """The command's words without --workers N."""
    kept, rest = [], iter(arguments)
    for word in rest:
        if word == "--workers":
            next(rest)
        elif not word.startswith("--workers="):
            kept.append(word)
    return kept


def _start(arguments, logs):
    """Start one process per log; the first also prints to this screen."""
    addresses = free_addresses(len(logs))
    folder = os.path.dirname(logs[0])  # is removed, also when a worker cannot do so
    processes = []
    for number, log in enumerate(logs):
        task = {"type": "worker", "index": number}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        with open(log, "wb") as said:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "keras_vit", *arguments],
                    env={**os.environ, "TF_CONFIG": config, "TMPDIR": folder},
                    stdout=None if number == 0 else subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
            )
    return processes


def free_addresses(count):
    """Free network addresses of this machine."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return found


def _send_signal(processes, number):
    """Send a signal to all running processes."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(number)


def _watch(processes, logs):
    """Wait for all processes; end the others when one fails. Returns the exit code."""
    while any(process.poll() is None for process in processes):
        codes = [process.poll() for process in processes]
        bad = next((k for k, code in enumerate(codes) if code), None)
        if bad is not None:
            _end(processes, GRACE if codes[bad] in STOPPED else LOST_GRACE)
            return _report(bad, codes[bad], len(processes), logs[bad])
        time.sleep(0.1)
    codes = [process.returncode for process in processes]
    bad = next((k for k, code in enumerate(codes) if code), None)
    if bad is not None:
        return _report(bad, codes[bad], len(processes), logs[bad])
    return 0


def _end(processes, grace):
    """Send SIGTERM, and SIGKILL to those that do not end in time."""
    _send_signal(processes, signal.SIGTERM)
    end = time.monotonic() + grace
    while time.monotonic() < end and any(p.poll() is None for p in processes):
        time.sleep(0.1)
    _send_signal(processes, signal.SIGKILL)
    for process in processes:
        process.wait()


def _report(number, code, count, log):
    """Print which worker failed, and how to resume: the exit code."""
    with open(log, encoding="utf-8", errors="replace") as file:
        said = file.read().splitlines()[-LINES:]
    how, when = f"ended with exit code {code}", "Once that is mended, the"
    if code < 0:
        how, when = f"was ended by {signal.Signals(-code).name}", "The"
    end = (
        f"keras-vit train: worker {number} of {count} {how}, and the others were "
        f"stopped. {when} same command goes on from the last state."
    )
    print("\n".join([*said, end]), file=sys.stderr)
    return code if code > 0 else 128 - code
