"""Text of producers, as a terminal may show it.

Invariant: it contains no character that a terminal obeys: escapes, controls, changes of direction.
"""


def printable(text: str) -> str:
    """The text, with each character that is not printable as its escape."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode() for one in text
    )
