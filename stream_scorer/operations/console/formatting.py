"""Numbers, durations and instants as the console prints them."""

import time

from markupsafe import Markup


def count(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}".replace(",", "\u202f")


def rate(per_s: float | None) -> str:
    """So many a second."""
    if per_s is None:
        return "–"
    return f"{per_s:.1f}" if 0 < per_s < 10 else count(per_s)


def share(part: float | None, digits: int = 1) -> str:
    return "–" if part is None else f"{part * 100:.{digits}f}\u202f%"


def figure(value: float | None, digits: int = 3) -> str:
    """A figure of its own kind, with a true minus; `–` where it is not known."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def duration(seconds: float | None) -> str:
    """About how long, in the unit that a person would take."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f}\u202fms" if seconds >= 0.001 or seconds == 0 else "<\u202f1\u202fms"
    for unit, size, below in (("s", 1, 120), ("min", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < below:
            number = seconds / size
            return f"{number:.1f}\u202f{unit}" if number < 10 else f"{number:.0f}\u202f{unit}"
    return f"{seconds / 86_400:.0f}\u202fdays"


def bytes_size(size: int) -> str:
    for unit, step in (("B", 1), ("KiB", 1024), ("MiB", 1024 * 1024)):
        if size < step * 1024 or unit == "MiB":
            return f"{size / step:.0f}\u202f{unit}" if unit == "B" else f"{size / step:.1f}\u202f{unit}"
    raise AssertionError


def instant(at_ms: int | None) -> str:
    """A time for machines: RFC 3339 in UTC."""
    if at_ms is None:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms / 1000)) + f".{at_ms % 1000:03d}Z"


def _ago(seconds: float) -> str:
    if abs(seconds) < 1:
        return "now"
    said = f"{seconds:.0f}\u202fs" if 0 < seconds < 120 else duration(abs(seconds))
    return f"{said} ago" if seconds > 0 else f"in {said}"


def moment(at_ms: int | None, now_ms: int, *, exact: bool = False) -> Markup:
    """A time for people, in UTC, with how long ago in its title; or the other way round where the past is near."""
    if not at_ms:
        return Markup("–")
    ago_s = (now_ms - at_ms) / 1000
    said = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms / 1000))
    ago = _ago(ago_s)
    shown, title = (said, ago) if exact or ago_s > 86_400 else (ago, f"{said} UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(instant(at_ms), title, shown)
