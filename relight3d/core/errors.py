"""The exception family: every problem with data, files or settings is one of these.

`cli` turns each into one message on stderr and exit code 2. An `assert` marks our own bug instead.
A message says what was asked, what was found, where, why it matters and what to do.
"""


class Relight3dError(Exception):
    """Base of everything a user can cause and mend."""


class CaptureError(Relight3dError):
    """A photo, mask, pose, light or capture folder cannot be used."""


class FileFormatError(Relight3dError):
    """A file is missing, cut off, not what its name says, or not safe to read."""


class MeshError(Relight3dError, ValueError):
    """A surface of triangles cannot be used: broken indices, corners that are not finite."""


class ConfigurationError(Relight3dError, ValueError):
    """A setting is unknown, out of range or contradicts another."""


class BackendUnavailableError(Relight3dError):
    """The asked-for rasterizer, tracer or prior is not usable on this machine."""


class CheckpointError(Relight3dError):
    """A run folder or checkpoint is cut off, of another version, or of another configuration."""


class SurfaceError(Relight3dError):
    """The fitted splats show no surface that a mesh could stand for."""


class DivergedError(Relight3dError):
    """A fit has run into NaN or infinity."""


class EvaluationError(Relight3dError, ValueError):
    """What is to be scored cannot be: NaN, sizes that differ, a picture too small."""


class OutputError(Relight3dError):
    """A result could not be written (disk full, no permission); nothing half written is left."""
