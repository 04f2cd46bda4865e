"""Runs one command, and ends it when whoever asked for it is gone.

``python native/guard.py COMMAND…`` prints the command's process id, gives it
this process's standard error for both outputs, and exits as it exits. Each byte
on standard input is the number of a signal for the command (sent from here, the
only place where its process id cannot have been reused). When standard input
ends, the command is killed: the asker holds the other end of that pipe, so even
a SIGKILL of the asker closes it.

Why a process of its own, and not PR_SET_PDEATHSIG in the asker: the kernel
sends that signal when the *thread* that forked ends, so a launcher used from a
worker thread would lose its servers with that thread, and setting it takes code
between fork and exec, which may deadlock in a process with threads. This one
has a single thread, which lives as long as the process: here both are safe, and
the command dies with its guard too. It uses the standard library only (it is
started with ``-I -S``), and must not restart anything.
"""

import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys

_PR_SET_PDEATHSIG = 1


def _die_with_the_guard() -> None:
    if not sys.platform.startswith("linux"):
        return
    guard = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:  # the guard died before the kernel knew of our wish
        os.kill(os.getpid(), signal.SIGKILL)


def _note(_number: int, _frame: object) -> None:
    """Leave it to the wakeup socket: a signal without a handler does not write to it."""


def _pass_on_signals(child: "subprocess.Popen[bytes]") -> bool:
    numbers = os.read(0, 4096)
    for number in numbers:
        child.send_signal(number)
    return bool(numbers)


def _ends_first(child: "subprocess.Popen[bytes]", wakeup: socket.socket) -> int | None:
    """Wait for the child, or for the end of standard input: None is the latter."""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(wakeup, selectors.EVENT_READ)
        while (status := child.poll()) is None:
            for key, _ in selector.select():
                if key.fd == 0 and not _pass_on_signals(child):
                    return None
                if key.fileobj is wakeup:
                    wakeup.recv(4096)
        return status


def main(command: list[str]) -> int:
    """Run the command under guard; 128 + N for one that signal N ended."""
    wakeup, alarm = socket.socketpair()
    alarm.settimeout(0)
    signal.set_wakeup_fd(alarm.fileno())
    signal.signal(signal.SIGCHLD, _note)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            preexec_fn=_die_with_the_guard,
        )
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    status = _ends_first(child, wakeup)
    if status is None:
        child.kill()
        status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
