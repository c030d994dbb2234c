"""Progress bars on standard error, for work that takes long; none where that is not a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def reading_progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar of records read, and the function to tell it: records so far, offsets in all. Gone at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty()
    ) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda read, offsets: progress.update(task, completed=read, total=max(read, offsets))
