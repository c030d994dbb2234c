"""Drawings: well-formed, with every figure that is known, and no text of others as markup."""

from xml.etree import ElementTree

from stream_scorer.core.quality.confidence_intervals import Interval
from stream_scorer.models.charts.svg import ChartSeries, document, intervals, lines

SVG = "{http://www.w3.org/2000/svg}"


def drawn(content: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(content.decode())


def test_texts_are_texts() -> None:
    nasty = '<script>&"'
    panels = [
        lines(nasty, nasty, nasty, [ChartSeries(nasty, [(0, 1)])]),
        intervals(nasty, nasty, [(nasty, [None])], [nasty]),
    ]
    found = drawn(document(nasty, panels))
    assert {element.tag for element in found.iter()} <= {
        SVG + name for name in ("svg", "g", "title", "text", "rect", "line", "polyline", "circle")
    }
    assert sum(element.text == nasty for element in found.iter()) >= 6


def test_what_is_not_known_is_not_drawn() -> None:
    rows: list[tuple[str, list[Interval | None]]] = [("known", [Interval(0.5, 0.4, 0.6)]), ("unknown", [None])]
    found = drawn(document("d", [intervals("t", "x", rows, ["all"])]))
    (circle,) = found.iter(SVG + "circle")
    assert float(circle.attrib["cx"]) == 330.0  # the middle of a plot from 150 to 510
    assert [text.text for text in found.iter(SVG + "text")].count("unknown") == 1


def test_a_line_leaves_out_what_is_no_number() -> None:
    found = drawn(document("d", [lines("t", "x", "y", [ChartSeries("s", [(0, 0.5), (0.5, float("nan")), (1, 1)])])]))
    (line,) = found.iter(SVG + "polyline")
    assert len(line.attrib["points"].split()) == 2
