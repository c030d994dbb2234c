"""What a file's bytes are when they are not the text that was expected, and which option reads them."""

import codecs
import re
from typing import BinaryIO, Final

from stream_scorer.errors import SettingsError

_LOOKED_AT_BYTES: Final = 4_096
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
# UTF-32's mark begins as UTF-16's does
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT: Final = (
    (b"\x1f\x8b", "is compressed with gzip: unpack it first"),
    (b"PK\x03\x04", "is an Excel workbook or a zip archive: export it as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook: export it as CSV"),
    (b"PAR1", "is a Parquet file: export it as CSV"),
)
_WIDE: Final = ("utf-16", "utf-32")


def decodable(encoding: str) -> str:
    """The codec for an encoding as people name it; a byte-order mark of UTF-8 is never text. Raises SettingsError."""
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except (LookupError, ValueError):
        raise SettingsError(
            f"--encoding {encoding}: no such encoding. Common ones: utf-8, cp1252 (Windows), latin-1, utf-16"
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def encoding_fault(stream: BinaryIO, encoding: str) -> str | None:
    """What the first bytes say against reading the file as text in `encoding`; None where nothing does."""
    stream.seek(0)
    first = stream.read(_LOOKED_AT_BYTES)
    for mark, what in _NO_TEXT:
        if first.startswith(mark):
            return what
    if encoding.startswith(_WIDE):
        return None
    for mark, wide in _MARKS:
        if first.startswith(mark):
            return f"is text in {wide.upper()}: give --encoding {wide}, or export it in UTF-8"
    # text of mostly ASCII letters in two bytes each, without a mark
    if first.count(0) > len(first) // 4:
        wide = "utf-16-le" if first[1::2].count(0) > first[0::2].count(0) else "utf-16-be"
        return f"looks like text in UTF-16: give --encoding {wide}, or export it in UTF-8"
    return None


def first_undecodable_line(stream: BinaryIO, encoding: str) -> tuple[int, str]:
    """The number of the first line that is no text in `encoding`, and what to do about it."""
    stream.seek(0)
    content = stream.read()
    name = "UTF-8" if encoding == "utf-8-sig" else encoding
    if encoding.startswith(_WIDE):
        return 1, f"this file is not text in {name}."
    for number, line in enumerate(_LINE_END.split(content), 1):
        try:
            line.decode(encoding)
        except UnicodeDecodeError as error:
            byte = line[error.start]
            advice = (
                "Files from Windows programs are often in Windows-1252: give --encoding cp1252 if this one is."
                if encoding == "utf-8-sig"
                else "Give the encoding that the file was written in as --encoding."
            )
            return number, f"byte 0x{byte:02x} at position {error.start + 1} is not valid {name}. {advice}"
    return 1, f"this file is not text in {name}."
