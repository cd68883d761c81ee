import html.parser
import re

import numpy as np

from relight3d.evaluation import page


class Balanced(html.parser.HTMLParser):
    """Fails on a tag that is closed in the wrong order or never."""

    VOID = ("meta", "img", "line", "polyline", "path")

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag


def assert_sound(document):
    checker = Balanced()
    checker.feed(document)
    checker.close()
    assert not checker.open, checker.open
    links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", document)
    assert all(link.startswith("data:") for link in links), "something would be fetched"


def test_texts_are_escaped():
    document = page.page("<b>", "a & b", [page.section("<i>", "<u>", page.note("<script>"))])
    assert "<script>" not in document
    assert "&lt;b&gt;" in document
    assert "a &amp; b" in document
    assert_sound(document)


def test_chart_places_powers_of_ten():
    curves = {
        "loss": {"steps": [0, 50, 100], "values": [1.0, 0.1, 0.01]},
        "odd": {"steps": [0, 50, 100], "values": [0.0, float("nan"), -1.0]},
    }
    chart = page.line_chart(curves)
    points = re.search(r'points="([^"]+)"', chart)
    assert points is not None
    xy = np.array([[float(v) for v in p.split(",")] for p in points[1].split()])
    assert len(xy) == 3
    np.testing.assert_allclose(np.diff(xy, axis=0), np.diff(xy, axis=0)[:1].repeat(2, 0), atol=0.11)
    assert "odd" not in chart
    assert page.line_chart({"odd": curves["odd"]}) == ""


def test_constant_curve():
    assert "polyline" in page.line_chart({"a": {"steps": [1, 2], "values": [1.0, 1.0]}})


def test_table_and_row():
    made = page.table(["a", "b"], [["x", 1], ["<", 2]])
    assert made.count("<tr>") == 3
    assert "&lt;" in made
    picture = page.still(np.zeros((4, 4, 4), np.uint8), 'say "hello"')
    assert "repeat(2," in page.row([picture, picture])
    assert_sound(page.page("", "", [made, page.row([picture])]))
