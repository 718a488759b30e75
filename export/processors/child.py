"""A subprocess with a time limit, asked line by line in JSON.

The process reads one line of JSON for each request and answers with one. Whatever
else it prints belongs on its standard error.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time

from keras_vit.progress import Status

TIME_LIMIT = 3600.0  # seconds for all images of one file on one processor
BEAT = 1.0  # seconds between two looks at the clock
CHUNK = 65536  # bytes


class ChildProcess:
    """A subprocess in a process group of its own, asked line by line.

    Args:
        name: of the processor, for messages.
        command: program and arguments. environment: dict.
        time_limit: seconds that may be spent waiting for it, start included.
        verbose: 0 for silence.

    Attributes:
        seconds: spent waiting so far.
        first: what it said when it was ready.

    Raises:
        TimeoutError: when the time is over.
        ChildProcessError: when it ends or fails, with its last words.
    """

    def __init__(self, name, command, environment, time_limit=TIME_LIMIT, verbose=1):
        self.name, self.seconds, self.answers = name, 0.0, 0
        self._limit, self._pending = time_limit, b""
        self._progress = Status(name, verbose)
        self._errors = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            [os.fspath(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )
        try:
            self.first = self._wait("starting")
        except BaseException:
            self.close()
            raise

    def ask(self, request):
        """Send one request; returns the answer.

        Args:
            request: dict for JSON.
        """
        with contextlib.suppress(BrokenPipeError):  # `_wait` says why it ended
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        answer = self._wait(f"{self.answers} done")
        self.answers += 1
        each = self.seconds / self.answers
        self._progress.show(f"{self.answers} done, {each:.1f} s each, start included")
        return answer

    def _wait(self, doing):
        """Read the next line of the process as a dict."""
        start, before = time.monotonic(), self.seconds
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if ready.select(BEAT):
                    piece = os.read(self._process.stdout.fileno(), CHUNK)
                    if not piece:
                        raise ChildProcessError(self._obituary())
                    self._pending += piece
                self.seconds = before + time.monotonic() - start
                if b"\n" not in self._pending:
                    self._check_time()
                    self._progress.show(f"{doing}, {self.seconds:.0f} s so far")
        line, _, self._pending = self._pending.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError as err:
            said = line[:100].decode(errors="replace")
            raise ChildProcessError(
                f"{self.name}: must answer in JSON, got {said!r}. Install it again."
            ) from err
        if isinstance(answer, dict) and "error" in answer:
            raise ChildProcessError(
                f"{self.name}: must run the file, got {answer['error']} Export it "
                "again, or leave this processor out."
            )
        return answer

    def _check_time(self):
        if self.seconds > self._limit:
            raise TimeoutError(
                f"{self.name}: must be done within time_limit={self._limit:g} s, got "
                f"{self.answers} answers by then. Give fewer images, or raise "
                "time_limit (--time-limit in the shell)."
            )

    def _obituary(self):
        """Error text for a process that ended, with its last output."""
        code = self._process.wait()
        how = f"exit code {code}"
        if code < 0:
            how = f"signal {signal.Signals(-code).name}"
        self._errors.seek(0)
        last = " ".join(self._errors.read()[-600:].split()) or "no message"
        return (
            f"{self.name}: must answer, but the process ended with {how}: {last}. "
            "keras-vit processors says whether it is installed as it should be."
        )

    def close(self):
        """End the process and all that it started, also when it is busy."""
        self._progress.close()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()
