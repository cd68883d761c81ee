"""`relight3d eval` on a run and on frames, by the command line."""

import json
import shutil
import subprocess
import sys

import pytest

from relight3d import cli
from relight3d.evaluation.protocols import PROTOCOLS


def test_a_run_scores_as_its_training_said(run, tmp_path, capsys):
    written = tmp_path / "scores.json"
    arguments = ["eval", str(run), "--protocol", "relight3d", "tensoir", "--json", str(written)]
    assert cli.run(arguments) == 0
    shown = capsys.readouterr().out
    result = json.loads(written.read_text())
    told = json.loads((run / "metrics.json").read_text())["results"]["relight3d"]
    again = result["results"]["relight3d"]
    assert again["novel"]["psnr"] == told["novel"]["psnr"]
    assert again["relit"]["lights"]["evening"]["psnr"] == told["relit"]["lights"]["evening"]["psnr"]
    assert f"{told['novel']['psnr']:.2f} dB" in shown
    for name in ("relight3d", "tensoir"):
        protocol = result["results"][name]["protocol"]
        assert protocol["psnr"][0]["channels"] == "pooled"
        assert protocol["source"] == PROTOCOLS[name].source


def test_rendered_frames_score_as_the_run_does(run, capture, tmp_path):
    """What `render` writes and `eval --frames` reads is what `eval RUN` draws."""
    frames = tmp_path / "frames"
    maps = "rgb,albedo,normal,roughness,metallic,depth"
    assert cli.run(["render", str(run), "--out", str(frames), "--aovs", maps, "--exr"]) == 0
    relit = ["--env", str(capture / "envmaps" / "evening.hdr"), "--out", str(tmp_path / "relit")]
    assert cli.run(["render", str(run), *relit]) == 0
    shutil.move(tmp_path / "relit" / "rgb", frames / "relit" / "evening")
    both = []
    for name, of in (("run", [str(run)]), ("frames", ["--frames", str(frames), "--capture",
                                                      str(capture)])):  # fmt: skip
        written = tmp_path / f"{name}.json"
        assert cli.run(["eval", *of, "--protocol", "nvs", "tensoir", "--json", str(written)]) == 0
        both.append(json.loads(written.read_text())["results"])
    drawn, read = both
    assert read["nvs"]["novel"]["views"] == drawn["nvs"]["novel"]["views"]
    for what in ("albedo", "normal"):
        assert read["tensoir"][what]["views"] == drawn["tensoir"][what]["views"], what
    assert "evening" in read["tensoir"]["relit"]["lights"]


def test_the_truth_itself_by_the_command_line(capture, tmp_path):
    written = tmp_path / "truth.json"
    arguments = ["eval", "--frames", str(capture), "--capture", str(capture)]
    assert cli.run([*arguments, "--protocol", *PROTOCOLS, "--json", str(written)]) == 0
    for name, found in json.loads(written.read_text())["results"].items():
        for rule in PROTOCOLS[name].psnr:
            assert found["novel"][rule.name] == "inf"


def test_list(capsys):
    assert cli.run(["eval", "--list"]) == 0
    shown = capsys.readouterr().out
    for name in ("tensoir", "irgs", "svgir", "illuminerf", "synthetic4relight", "stanford-orb",
                 "nrhints", "nvs"):  # fmt: skip
        assert f"{name}: " in shown
    assert "mean of channels" in shown
    assert "window 3" in shown


def test_a_reader_that_has_seen_enough_is_no_error():
    program = f"{sys.executable} -m relight3d.cli eval --list | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] in ("0", "120")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Give either a run or --frames"),
        (["RUN", "--frames", "CAPTURE"], "Give either"),
        (["--frames", "CAPTURE"], "--frames needs --capture"),
        (["RUN", "--protocol", "psnr"], "no protocol psnr"),
        (["RUN", "--lights", "moon"], "no test pictures under moon"),
        (["--frames", "EMPTY", "--capture", "CAPTURE"], "has no frame of"),
        (["--frames", "EMPTY", "--capture", "EMPTY"], "is not a capture"),
        (["EMPTY"], "EMPTY"),
    ],
)  # fmt: skip
def test_bad_input_is_one_message_and_code_2(arguments, said, run, capture, tmp_path, capsys):
    (tmp_path / "EMPTY").mkdir()
    places = {"RUN": run, "CAPTURE": capture, "EMPTY": tmp_path / "EMPTY"}
    given = [str(places.get(argument, argument)) for argument in arguments]
    written = tmp_path / "none.json"
    try:
        code = cli.run(["eval", *given, "--json", str(written)])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    shown = capsys.readouterr()
    assert said in " ".join((shown.err + shown.out).split()).replace("│ ", "").replace("│", "")
    assert not written.exists()
