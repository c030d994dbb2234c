"""Where things that are costly to make (the broker's jars, the default model) are kept between runs; anybody may import
it, it imports nothing of ours."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$STREAM_SCORER_CACHE`, else `stream-scorer` in the user's cache folder. Not created here."""
    own = os.environ.get("STREAM_SCORER_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "stream-scorer"
