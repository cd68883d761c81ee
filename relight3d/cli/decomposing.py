"""`relight3d decompose`."""

import dataclasses
import shlex
from pathlib import Path

import tyro

from relight3d.cli.parsing import first_positional, parse
from relight3d.decomposition.config import DecompositionConfig
from relight3d.decomposition.inverse.config import InverseConfig
from relight3d.decomposition.proxy.config import ProxyConfig


@dataclasses.dataclass(frozen=True)
class DecomposeArguments:
    """Split the fitted radiance of a run into materials and light; write report and scores."""

    run: tyro.conf.Positional[Path]
    """A run whose `fit` is done. Its settings apply; a stopped decomposition is continued."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace an earlier decomposition, which is needed to change its settings."""
    checkpoint_seconds: float = 20.0
    """How often to save; no more than this is lost when the power fails."""
    decomposition: DecompositionConfig = dataclasses.field(default_factory=DecompositionConfig)
    """Distillation. Defaults shown are those of the run."""
    proxy: ProxyConfig = dataclasses.field(default_factory=ProxyConfig)
    """The mesh that rays are traced against."""
    inverse: InverseConfig = dataclasses.field(default_factory=InverseConfig)
    """Refinement by traced rays, if it has steps."""
    score_spp: int = 0
    """Rays a pixel of relit pictures in scores and report, 2 to 512; 0: fast shading without."""


def run_decompose(arguments: list[str]) -> None:
    """Only materials and light."""
    defaults = {}
    folder = first_positional(arguments)
    if folder is not None:
        from relight3d.pipeline.run_settings import stored_config

        stored = stored_config(Path(folder))
        defaults = {
            name: getattr(stored, name)
            for name in ("decomposition", "proxy", "inverse", "score_spp")
        }
    parsed = parse("decompose", DecomposeArguments, arguments, defaults)

    from relight3d.pipeline.loop import Cadence
    from relight3d.pipeline.signals import Interrupted
    from relight3d.pipeline.train import LaterStages, decompose_run

    later = LaterStages(parsed.decomposition, parsed.proxy, parsed.inverse, parsed.score_spp)
    try:
        run = decompose_run(parsed.run, later, parsed.overwrite, Cadence(parsed.checkpoint_seconds))
    except Interrupted as stopped:
        again = shlex.join(
            ["relight3d", "decompose", *(a for a in arguments if a != "--overwrite")]
        )
        raise Interrupted(f"{stopped} Continue with:\n  {again}", stopped.exit_code - 128) from None
    print(f"The run is in {run.path}")
    print(f"Look at {run.report_path}")
