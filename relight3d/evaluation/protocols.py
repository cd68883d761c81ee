"""The protocols of the field, one value each, and our own.

Where a paper and its code disagree, the code wins, for the tables were made with it. The scripts of
TensoIR, SVG-IR, R3DG, IllumiNeRF, Stanford-ORB and NRHints were read; the habits of IRGS and 3DGS
are as others who read theirs describe them. What no convention of scoring can express
(numbers of light samples, sizes of environment maps) is in the notes.
"""

from collections.abc import Sequence

from relight3d.core.errors import ConfigurationError
from relight3d.evaluation.protocol import Alignment, Protocol, PsnrRule
from relight3d.evaluation.similarity import GAUSSIAN_ZERO, KORNIA_3

_PER_CHANNEL = (PsnrRule(channels="mean of channels"),)
_ONE_ERROR = (PsnrRule(views="pooled"),)

RELIGHT3D = Protocol(
    name="relight3d",
    title="this package's own reports",
    source="relight3d",
    psnr=_ONE_ERROR,
    ssim=GAUSSIAN_ZERO,
    alignment=Alignment("albedo", "median", views=20),
    maps_over="foreground",
    baselines=True,
    note="the strictest averages: one squared error over all pixels, channels and views",
)

SCALE_FREE = Protocol(
    name="scale-free",
    title="any picture with its best factor: how good is doing nothing?",
    source="relight3d",
    scores=("novel", "relit"),
    psnr=_ONE_ERROR,
    ssim=GAUSSIAN_ZERO,
    alignment=Alignment("relit pictures", "least squares"),
    note="one factor per channel and light, fitted to linear values of all test views",
)

TENSOIR = Protocol(
    name="tensoir",
    title="TensoIR, official",
    source="Jin et al. 2023; Haian-Jin/TensoIR: renderer.py, scripts/relight_importance.py",
    alignment=Alignment("albedo", "median", views=20),
    normals_over="frame",
    note="2k maps, 512 light samples; secondary rays near 0.05, far 1.5",
)

IRGS = Protocol(
    name="irgs",
    title="IRGS",
    source="Gu et al. 2025; fudan-zvg/IRGS: utils/image_utils.py, eval_relighting_tensoir.py",
    background="black",
    cut_by="true alpha",
    psnr=_PER_CHANNEL,
    ssim=GAUSSIAN_ZERO,
    alignment=Alignment("albedo", "median", single_channel_scenes=("air_baloons",)),
    normals_over="frame",
    note="2k maps reduced to 1024; 512 diffuse and 256 light samples with MIS",
)

SVGIR = Protocol(
    name="svgir",
    title="SVG-IR",
    source="Sun et al. 2025; learner-shx/SVG-IR: eval_relighting_tensoIR.py",
    cut_by="true alpha",
    psnr=_PER_CHANNEL,
    ssim=GAUSSIAN_ZERO,
    lpips_input="raw",
    alignment=Alignment("albedo", "median", views=1),
    albedo_space="srgb",
    lights=("fireplace", "forest", "night"),
    note="1k maps; the script's list of lights is overwritten with three of five",
)

ILLUMINERF = Protocol(
    name="illuminerf",
    title="IllumiNeRF (also ROGR and other methods without albedo)",
    source="Zhao et al. 2024; illuminerf/illuminerf_results: compute_metrics_tensoir.py",
    scores=("novel", "relit"),
    alignment=Alignment("relit pictures", "median", views=20, space="srgb"),
    note="scales each light's pictures, in their stored values, instead of the albedo",
)

SYNTHETIC4RELIGHT = Protocol(
    name="synthetic4relight",
    title="Synthetic4Relight as Relightable3DGaussian scores it",
    source="Gao et al. 2024; NJU-3DV/Relightable3DGaussian: eval_relighting_syn4.py",
    scores=("novel", "relit", "albedo", "roughness"),
    cut_by="true alpha",
    psnr=_PER_CHANNEL,
    ssim=GAUSSIAN_ZERO,
    lpips_input="raw",
    alignment=Alignment("albedo", "median", views=1),
    albedo_space="srgb",
    note="its script holds constants for its own four models, printed from the first view; lights "
    "envmap6 and envmap12",
)

STANFORD_ORB = Protocol(
    name="stanford-orb",
    title="Stanford-ORB",
    source="Kuang et al. 2023; StanfordORB/Stanford-ORB: orb/utils/metrics.py, orb/utils/test.py",
    scores=("novel", "relit", "albedo", "normal", "depth"),
    background="black",
    cut_by="true alpha",
    erode_px=5,
    psnr=(
        PsnrRule("psnr_h", space="linear", clip=4.0, exposed=True, grey_floor=True),
        PsnrRule("psnr_l", grey_floor=True),
    ),
    ssim=KORNIA_3,
    alignment=Alignment("relit pictures", "least squares", each_view=True),
    width_px=512,
    note="squared error over the full frame, not the mask; environment maps were captured beside "
    "the object, which punishes sharp highlights",
)

NRHINTS = Protocol(
    name="nrhints",
    title="NRHints and other moving point lights",
    source="Zeng et al. 2023; iamNCJ/NRHints: utils/metrics.py, data/data_parser.py",
    scores=("novel",),
    lpips="alex",
    note="unseen views under unseen point lights, cameras and lights as calibrated; figures with "
    "test-time optimised cameras or lights are several dB higher",
)

NVS = Protocol(
    name="nvs",
    title="novel views as 3DGS scores them: NeRF-synthetic, Mip-NeRF 360, Tanks and Temples",
    source="Kerbl et al. 2023; graphdeco-inria/gaussian-splatting: metrics.py",
    scores=("novel",),
    ssim=GAUSSIAN_ZERO,
    lpips_input="raw",
    note="objects on white; scenes as they are, every 8th photo from the first (--hold-out 8), "
    "Mip-NeRF 360 at images_4 outdoors and images_2 indoors",
)

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (RELIGHT3D, SCALE_FREE, TENSOIR, IRGS, SVGIR, ILLUMINERF, SYNTHETIC4RELIGHT,
                     STANFORD_ORB, NRHINTS, NVS)
}  # fmt: skip


def protocols_named(names: Sequence[str]) -> list[Protocol]:
    """The protocols, each once, in the order asked for.

    Raises:
        ConfigurationError: There is none of that name.
    """
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise ConfigurationError(
            f"There is no protocol {', '.join(unknown)}. Protocols: {', '.join(PROTOCOLS)}; "
            "`relight3d eval --list` says what each does."
        )
    return [PROTOCOLS[name] for name in dict.fromkeys(names)]
