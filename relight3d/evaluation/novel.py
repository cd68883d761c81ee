"""Novel views: frames under the light their photos were taken under."""

from typing import Any

from relight3d.core.views import Capture, View
from relight3d.evaluation.compared import Pair
from relight3d.evaluation.picture_scores import PictureScores, Tools
from relight3d.evaluation.protocol import Protocol
from relight3d.evaluation.sources import FrameSource
from relight3d.evaluation.tasks import novel_views
from relight3d.evaluation.truth import coverage_of
from relight3d.files.images import read_image


def novel_scores(
    capture: Capture,
    source: FrameSource,
    protocol: Protocol,
    tools: Tools,
    absent: dict[str, str],
) -> dict[str, Any]:
    """Scores of 'rgb', and below 'physics' those by materials and light alone, if there are any."""
    views = novel_views(capture)
    reason = source.why_not("rgb") if views else "every test view is under another light"
    if reason is not None:
        absent["novel"] = reason
        return {}
    found = _scores(views, source, protocol, tools, "rgb")
    if source.why_not("physics") is None:
        found["physics"] = _scores(views, source, protocol, tools, "physics")
    return found


def _scores(
    views: list[View], source: FrameSource, protocol: Protocol, tools: Tools, what: str
) -> dict[str, Any]:
    scores = PictureScores(protocol, tools)
    for view in views:
        scores.add(photo_pair(view, source, what).reduced(protocol.width_px))
    return scores.result()


def photo_pair(view: View, source: FrameSource, what: str) -> Pair:
    """A frame beside the photo of its view."""
    photo = read_image(view.image_path)
    return Pair(source.draw(view, what, view.image_path), photo, coverage_of(view, photo))
