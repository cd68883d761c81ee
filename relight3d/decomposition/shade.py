"""Split-sum shading by whichever code serves the tensors: the CPU kernel, else plain torch."""

from relight3d.backends.fused import kernel_serves
from relight3d.shading import deferred
from relight3d.shading.brdf import MIN_COSINE
from relight3d.shading.deferred import GBuffer, Shaded
from relight3d.shading.environment_brdf import brdf_table
from relight3d.shading.prefilter import PrefilteredEnvironment


def shade(gbuffer: GBuffer, environment: PrefilteredEnvironment) -> Shaded:
    """`shading.deferred.shade` without multiple scattering. Differentiable as that is.

    Where irradiance is not given or `view` needs a gradient, plain torch serves.
    """
    tensors = [t for t in (*vars(gbuffer).values(), environment.atlas) if t is not None]
    if gbuffer.irradiance is None or gbuffer.view.requires_grad or not kernel_serves(*tensors):
        return deferred.shade(gbuffer, environment)
    from relight3d.backends.cpu.shading import shade as compiled

    diffuse, specular = compiled(
        gbuffer.albedo, gbuffer.roughness, gbuffer.metallic, gbuffer.normal, gbuffer.view,
        gbuffer.irradiance, gbuffer.specular_visibility, gbuffer.surroundings,
        environment.atlas, environment.levels, environment.rotation_rad,
        brdf_table(gbuffer.view.device, gbuffer.view.dtype), MIN_COSINE,
    )  # fmt: skip
    return Shaded(diffuse, specular)
