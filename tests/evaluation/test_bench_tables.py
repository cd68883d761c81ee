import numpy as np
import pytest

from relight3d.core.errors import ConfigurationError
from relight3d.evaluation.bench_compare import compare
from relight3d.evaluation.bench_page import bench_html
from relight3d.evaluation.bench_table import (
    comparison_lines,
    light_cells,
    markdown,
    quality_cells,
    readme_table,
)
from relight3d.evaluation.protocols import PROTOCOLS
from relight3d.evaluation.published import UNSTATED, benchmark_of, load_published, matches
from relight3d.evaluation.report import Comparison
from relight3d.evaluation.statistics import spread
from tests.evaluation.bench_toys import PSNR, content, one, suite
from tests.evaluation.test_page import assert_sound


def test_numbers_and_intervals():
    cells = quality_cells(content(suite(ball=one())), "relight3d")
    row = dict(zip(cells[0], cells[1], strict=True))
    known = spread(PSNR)
    assert known.high is not None
    assert row["unseen views"] == f"{known.mean:.2f} dB ± {known.high - known.mean:.2f}"
    assert row["normals"].endswith("°") is False
    assert row["depth, relative"] == "0.0100"
    assert "FLIP" not in row


def test_several_seeds_are_averaged():
    found = content(suite(ball=[one(-1.0), one(1.0)]))
    cells = quality_cells(found, "relight3d")
    row = dict(zip(cells[0], cells[1], strict=True))
    assert row["unseen views"].startswith(f"{np.mean(PSNR):.2f} dB ± 12.7")  # t of one degree


def test_lights_have_their_rows():
    head, row = light_cells(content(suite(ball=one())), "relight3d")
    assert head[:3] == ["capture", "light", "relit"]
    cells = dict(zip(head, row, strict=True))
    assert (cells["unrelit, best gain"], cells["gained"]) == ("22.00 dB", "+2.00 dB")


def test_short_table_can_be_pasted():
    lines = readme_table(content(suite(ball=one(), disc=one()))).splitlines()
    assert lines[0] == "| capture | unseen views | normals | relit | all in |"
    assert lines[2] == "| ball | 28.1 dB | 5.2° | 24.1 (+2.0) dB | 1:40 |"
    assert len(lines) == 4


def test_markdown_is_whole():
    found = content(suite(ball=one()), options={"field.steps": 8}, hold_out=4)
    text = markdown(found, compare(found["scores"], found["scores"]), [], 100)
    for words in ("By the protocol relight3d", "noon", "abc1234", "Abacus, 2 cores", "700 MB",
                  "object --hold-out 4 --field.steps 8", "None of the 100 published",
                  "0 scores are better"):  # fmt: skip
        assert words in text, words
    widths = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert min(widths) > 2


def test_page_is_sound_and_folds_what_cannot_be_compared():
    found = content(suite(ball=one()))
    other = compare(suite(ball=one(-1.0), gone=one()), found["scores"])
    picture = np.full((8, 8, 4), 255, np.uint8)
    shown = {"ball": [Comparison("view <1>", picture, picture)]}
    _, others = matches({"ball": (None, ("relight3d",))}, load_published())
    page = bench_html(found, shown, other, [], others)
    assert_sound(page)
    assert page.count("<figure>") == 3
    assert "view &lt;1&gt;" in page
    assert page.index("<summary>published, not comparable") < page.index("GHPT")
    assert "later run only" not in page
    assert "earlier run only" in page


def test_comparison_is_told():
    lines = "\n".join(comparison_lines(compare(suite(ball=one()), suite(ball=one(1.0)))))
    assert "7 scores are better beyond the noise, 0 worse" in lines
    assert "+1.00 dB" in lines


def test_published_file_is_sound():
    published = load_published()
    for row in published.rows:
        assert row.benchmark in published.benchmarks
        assert row.protocol in (*PROTOCOLS, UNSTATED)
        assert row.values
        assert row.source
    assert len({(r.method, r.benchmark, r.scene, str(r.values)) for r in published.rows}) == len(
        published.rows
    )


def test_published_rows_stand_beside_their_benchmark_alone():
    asked = {"lego": ("tensoir-synthetic", ("tensoir", "irgs")), "ball_of_mine": (None, ("irgs",))}
    found, others = matches(asked, load_published())
    assert {(m.protocol, m.captures) for m in found} == {
        ("tensoir", ("lego",)),
        ("irgs", ("lego",)),
    }
    rows = {row.method for match in found for row in match.rows}
    assert rows == {"TensoIR", "IRGS"}
    assert "This suite has 1 of 4 scenes" in found[0].sentence
    reasons = {reason for _, reason in others}
    assert "the source does not say how it scores" in reasons
    assert "scored as svgir, which was not asked for" in reasons
    text = markdown(content(suite(lego=one(protocol="tensoir"))), None, found, len(others))
    assert "28.51" in text
    assert "None of the" not in text


def test_scenes_are_known_by_name_where_it_is_the_only_one():
    published = load_published()
    assert benchmark_of("armadillo", None, published) == "tensoir-synthetic"
    assert benchmark_of("hotdog", None, published) is None  # three benchmarks have one
    assert benchmark_of("hotdog", "synthetic4relight", published) == "synthetic4relight"
    with pytest.raises(ConfigurationError, match="There are: tensoir-synthetic"):
        benchmark_of("hotdog", "tensor", published)


def test_single_scenes_stand_beside_themselves():
    found, _ = matches({"Pixiu": (None, ("nrhints",))}, load_published())
    assert [(row.scene, row.method) for match in found for row in match.rows] == [
        ("Pixiu", "SSD-GS")
    ]
