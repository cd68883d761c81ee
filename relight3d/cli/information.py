"""`relight3d info`."""

import dataclasses

from relight3d.cli.parsing import parse


@dataclasses.dataclass(frozen=True)
class InfoArguments:
    """Show versions, rasterizers, tracers, presets, and what is missing on this machine."""


def run_info(arguments: list[str]) -> None:
    """Print what this machine can do."""
    parse("info", InfoArguments, arguments, {})

    from relight3d.backends.registry import available_backends
    from relight3d.backends.tracing.registry import available_tracers
    from relight3d.evaluation import flip, perceptual
    from relight3d.pipeline.machine import describe_machine, installed_versions
    from relight3d.presets import preset_names

    for name, value in {**installed_versions(), **describe_machine()}.items():
        print(f"{name:<24} {value}")
    print(f"{'presets':<24} {', '.join(preset_names())}")
    print()
    for kind, statuses in (("backend", available_backends()), ("tracer ", available_tracers())):
        for status in statuses:
            state = "usable" if status.usable else "MISSING"
            print(f"{kind} {status.name:<10} {state}: {status.detail}")
    print(f"measure flip       {'usable' if flip.available() else 'MISSING: extra [eval]'}")
    for net in ("vgg", "alex"):
        reason = perceptual.why_absent(net)
        print(f"measure lpips {net:<4} {'usable' if reason is None else f'MISSING: {reason}'}")
