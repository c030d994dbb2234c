"""The processor time of a broker that runs on this machine, found by the port that it listens at."""

import psutil

HERE = ("localhost", "127.0.0.1", "::1")


class BrokerCpu:
    """Counts from its making on."""

    def __init__(self, bootstrap: str) -> None:
        self._process = _listening(bootstrap)
        self._begun_s = self._total_s()

    def seconds(self) -> float | None:
        """User and system time since then; None for a broker elsewhere, or where the system does not tell."""
        total_s = self._total_s()
        return None if total_s is None or self._begun_s is None else total_s - self._begun_s

    def _total_s(self) -> float | None:
        if self._process is None:
            return None
        try:
            times = self._process.cpu_times()
        except psutil.Error:
            return None
        return float(times.user + times.system)


def _listening(bootstrap: str) -> psutil.Process | None:
    host, _, port = bootstrap.rpartition(":")
    if host.strip("[]") not in HERE or not port.isdecimal():
        return None
    try:
        for socket in psutil.net_connections("tcp"):
            if socket.status == psutil.CONN_LISTEN and socket.laddr.port == int(port) and socket.pid:
                found = psutil.Process(socket.pid)
                return found if "java" in found.name() else None  # what passes a port on to a container is not
    except psutil.Error:
        return None
    return None
