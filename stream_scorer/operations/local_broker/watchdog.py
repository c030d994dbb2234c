"""Stands between a broker node and its owner and lets the node live no longer than the owner; imports nothing of ours.

`python keeper.py FOLDER PROGRAM ARGUMENT…`. Standard input is a pipe from the owner: each byte is a signal to pass on,
its end means that the owner is gone, however it went (a kill -9 closes pipes too). Then the node is killed, and the
FOLDER deleted unless it is "". Standard output gets the node's process id, then a byte for each signal when it is sent;
standard error gets what the node says.

Three nets, because a forgotten Java process is worse than a few lines: the pipe; the parent's id, for when a fork of
the owner still holds the pipe; and the kernel's parent-death signal, for when this program itself is killed. It has one
thread only: that signal follows the *thread* that started the child, which in the owner may be any short-lived one.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
LOOK_AT_PARENT_EVERY_S = 0.5

prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent() -> None:
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def keep(command: list[str]) -> bool:
    """Run the command until it ends or the owner does; says whether it was the owner."""
    owner = os.getppid()
    node = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=die_with_parent,  # noqa: PLW1509 (unsafe with threads, and there is one)
    )
    os.write(1, f"{node.pid}\n".encode())
    watched = [0]
    if hasattr(os, "pidfd_open"):  # Linux: wake up the moment the node ends; elsewhere within the half second
        watched.append(os.pidfd_open(node.pid))
    while node.poll() is None:
        ready, _, _ = select.select(watched, [], [], LOOK_AT_PARENT_EVERY_S)
        numbers = os.read(0, 64) if 0 in ready else None
        for number in numbers or b"":
            node.send_signal(number)
            os.write(1, bytes([number]))
        if numbers == b"" or os.getppid() != owner:
            node.kill()
            node.wait()
            return True
    return False


def delete(folder: str) -> None:
    """Delete a node's folder, and the one around it once the last node's is gone."""
    import shutil
    from pathlib import Path

    shutil.rmtree(folder, ignore_errors=True)
    try:
        Path(folder).parent.rmdir()
    except OSError:
        return  # other nodes still have theirs in it


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # the owner decides when to end; not SIG_IGN, which the node would inherit, and then not hear its own SIGTERM
        signal.signal(number, lambda *_: None)
    owner_is_gone = keep(sys.argv[2:])
    if owner_is_gone and sys.argv[1]:
        delete(sys.argv[1])
