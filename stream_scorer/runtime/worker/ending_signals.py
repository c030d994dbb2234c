"""Signals that ask a process to end: SIGTERM, Ctrl-C, and SIGHUP where a terminal or a connection goes away.

Invariant: a long-running command ends the same way by each of them. SIGHUP stays ignored where `nohup` asked for that.
"""

import signal


def ending_signals() -> tuple[signal.Signals, ...]:
    """Those that this process is to hear."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP
