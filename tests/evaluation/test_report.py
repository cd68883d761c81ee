import numpy as np

from relight3d.evaluation.report import Comparison, ReportContent, error_map, report_html
from tests.evaluation.test_page import assert_sound


def picture(value, alpha=255):
    return np.full((8, 8, 4), (value, value, value, alpha), np.uint8)


def content(**changes):
    stage = {"seconds": 61.0, "steps": 100, "peak_memory_mb": {"host": 800.0}}
    comparison = Comparison("test 000", picture(100), picture(101))
    novel = {"psnr": 35.5, "ssim": 0.98, "views": {"psnr": [35.5] * 16}}
    light = {"psnr": 27.0, "gain_over_unrelit_db": 3.25}
    everything = {
        "title": "helmet",
        "lead": "80 photos",
        "comparisons": [comparison],
        "compared_split": "test",
        "maps": {"albedo": picture(9), "normal": picture(10), "depth": picture(4)},
        "turntables": {"under sun": b"webp"},
        "relit": [comparison],
        "environments": {"environment": picture(30)},
        "losses": {"fit": {"l1": {"steps": [1, 2], "values": [0.1, 0.05]}}},
        "record": {"stages": {"fit": stage, "score": {**stage, "steps": None}},
                   "machine": {"processor": "CPU", "cores": "2"}},
        "config": {"settings": {"seed": 0}},
        "metrics": {"novel": novel, "normal": {"mae_deg": 9.8},
                    "relit": {"lights": {"sun": light}}},
        "splats": 18000,
    }  # fmt: skip
    return ReportContent(**{**everything, **changes})


def test_everything_is_on_the_page():
    document = report_html(content())
    assert_sound(document)
    for words in ("35.50 dB", "9.8°", "+3.25 dB", "18,000", "2:02", "800 MB", "never saw", "0.1"):
        assert words in document, words
    assert "seed" in document


def test_a_run_without_test_views_or_materials():
    document = report_html(
        content(metrics={}, relit=[], maps={}, turntables={}, environments={}, losses={},
                record={}, compared_split="train")
    )  # fmt: skip
    assert_sound(document)
    for words in ("Relit", "Recovered light", "Losses", "never saw", "SSIM"):
        assert words not in document, words


def test_error_map_is_clear_where_nothing_is():
    mapped = error_map(picture(50, 0), picture(90, 0))
    assert mapped[..., 3].max() == 0
    equal, different = error_map(picture(50), picture(50)), error_map(picture(0), picture(255))
    assert equal[0, 0, 3] == 255
    assert equal[0, 0, 0] < equal[0, 0, 2] + 60  # blue end
    assert different[0, 0, 0] > different[0, 0, 2]  # red end
