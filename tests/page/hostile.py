"""Records that nobody should have to see unescaped, by what they try; each is broken, so each becomes a dead letter."""

from tests.support.builders import an_event

SCRIPT = "<script>document.title='owned'</script>"
IMAGE = "<img src=x onerror=\"document.title='owned'\">"

RECORDS: dict[str, bytes] = {
    "script": an_event("h-script", StatuteReason=SCRIPT + IMAGE),
    "script_as_id_of_no_event": b'{"id": "</pre></main>' + SCRIPT.encode() + b'"}',
    "attribute": an_event("h-attribute", StatuteReason="\"'><svg onload=\"document.title='owned'\">"),
    "template": b'{"id": "h-template", "observation": {"{{ 7 * 7 }}": "{% raw %}"}}',
    "right_to_left": '{"id": "h-rtl", "observation": {"a\u202egnp.exe": "\u2066\u05d0\u2069", "b\u200bc": 1}}'.encode(),
    "painting_over": ('{"id": "h-marks", "observation": {"z' + "\u0301" * 200 + '": 1}}').encode(),
    "broken_utf_8": b'\xff\xfe{"id": "h-utf8 \xc3\x28"}',
    "control_characters": an_event("h-control", StatuteReason="Stop\x00\x07\x1b[31m Sign"),
    "huge": an_event("h-huge", StatuteReason="A" * 60_000),
    "nothing": b"",
    "mendable": an_event("h-mendable", StatuteReason="Stop sign"),
    "second_mendable": an_event("h-mendable-2", StatuteReason="Stop sign"),
    "unmendable": an_event("h-unmendable", StatuteReason="No such reason"),
}
SENDER = f"north {SCRIPT}"
