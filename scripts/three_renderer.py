"""A .glb as three.js draws it, in a headless Chromium: linear pictures as arrays."""

import dataclasses
import http.server
import json
import queue
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
from jaxtyping import Float
from node_tools import browser, npm_package

from relight3d.core.conventions import OPENCV_FROM_OPENGL
from relight3d.core.types import Cameras, EnvironmentLight
from relight3d.core.views import Similarity
from relight3d.files.environment import write_environment

PAGE = Path(__file__).with_name("three_page")
FINE = 2
"""Samples along each side of a pixel."""
_TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript"}
_NEAR_FAR = (1e-3, 1e3)
"""In units of the camera's distance."""
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class BrowserError(Exception):
    """The page did not come to its end."""


@dataclasses.dataclass(frozen=True)
class ThreePictures:
    """What three.js drew: fine pictures, top row first, linear, with an alpha of 0 or 1."""

    pictures: dict[str, Float[np.ndarray, "h w 4"]]
    """By name of the environment, and 'albedo', 'normal' (in glTF's axes), 'surface' (roughness,
    metallic)."""
    version: str


def draw_by_three(
    glb: Path,
    camera: Cameras,
    gltf_from_world: Similarity,
    environments: dict[str, EnvironmentLight],
    timeout_s: float,
) -> ThreePictures:
    """Let three.js light a .glb by environment maps alone, and show its surface.

    Args:
        glb: The file.
        camera: One camera, in a z-up world whose environment maps are laid out as ours.
        gltf_from_world: Where that world's points stand in the file.
        environments: By name; in the camera's world.
        timeout_s: Patience with the browser.

    Raises:
        MissingToolError: npm or a browser is not installed.
        BrowserError: The page failed, or took too long.
    """
    program, three = browser(), npm_package("three")
    width, height = FINE * camera.width_px, FINE * camera.height_px
    job = {
        "width_px": width,
        "height_px": height,
        "projection": projection(camera, gltf_from_world.scale).ravel().tolist(),
        "camera_to_world": camera_to_gltf(camera, gltf_from_world).ravel().tolist(),
        "environments": list(environments),
    }
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        (folder / "job.json").write_text(json.dumps(job))
        for name, light in environments.items():
            write_environment(folder / f"{name}.hdr", three_layout(light))
        results, version = _browse(program, three, folder, glb, timeout_s)
    pictures = {
        name: np.frombuffer(data, "<f4").reshape(height, width, 4)[::-1].copy()
        for name, data in results.items()
    }
    return ThreePictures(pictures, version)


def three_layout(light: EnvironmentLight) -> EnvironmentLight:
    """Our map as three.js reads one: it has +x in the middle, half a turn from ours.

    Its column is u = atan2(z, x) / 2 pi + 1/2 in its own axes, where its z is our -y.
    """
    radiance = light.radiance_linear
    return EnvironmentLight(radiance.roll(radiance.shape[1] // 2, 1))


def camera_to_gltf(camera: Cameras, gltf_from_world: Similarity) -> Float[np.ndarray, "4 4"]:
    """The pose of one of our cameras in a .glb's world: axes as OpenGL's, at glTF's scale."""
    to_world = np.linalg.inv(camera.world_to_camera[0].double().numpy())
    pose = np.eye(4)
    pose[:3, :3] = gltf_from_world.rotation @ to_world[:3, :3] @ OPENCV_FROM_OPENGL[:3, :3]
    pose[:3, 3] = gltf_from_world.apply(to_world[None, :3, 3])[0]
    return pose


def projection(camera: Cameras, scale: float) -> Float[np.ndarray, "4 4"]:
    """OpenGL's projection of one of our pinhole cameras."""
    fx, fy, cx, cy = (float(camera.intrinsics[0][at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    width, height = camera.width_px, camera.height_px
    distance = scale * max(1.0, float(camera.centers[0].norm()))
    near, far = (distance * factor for factor in _NEAR_FAR)
    return np.array(
        [
            [2 * fx / width, 0, 1 - 2 * cx / width, 0],
            [0, 2 * fy / height, 2 * cy / height - 1, 0],
            [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, -1, 0],
        ]
    )


def _browse(
    program: str, three: Path, folder: Path, glb: Path, timeout_s: float
) -> tuple[dict[str, bytes], str]:
    """Serve the page, run the browser, collect what the page sends."""
    results: dict[str, bytes] = {}
    ended: queue.Queue[tuple[str, str]] = queue.Queue()
    roots = {"three": three, "page": PAGE}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            first, _, rest = self.path.lstrip("/").partition("/")
            path = roots[first] / rest if first in roots else folder / (first or "index.html")
            path = {"": PAGE / "index.html", "asset.glb": glb}.get(self.path.lstrip("/"), path)
            if ".." in self.path or not path.is_file():
                self.send_error(404)
                return
            body = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind, _, name = self.path.lstrip("/").partition("/")
            if kind == "result":
                results[name] = body
            else:
                ended.put((kind, body.decode()))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [program, *_FLAGS, f"--user-data-dir={folder / 'profile'}"]
    address = f"http://127.0.0.1:{server.server_port}/"
    with subprocess.Popen(
        [*command, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            kind, words = ended.get(timeout=timeout_s)
        except queue.Empty:
            raise BrowserError(
                f"{program} did not finish within {timeout_s:.0f} s; {len(results)} pictures came. "
                f"Open {PAGE / 'index.html'} to see what it does, or give it more time: --timeout."
            ) from None
        finally:
            process.terminate()
            server.shutdown()
            server.server_close()
    if kind != "done":
        raise BrowserError(f"three.js failed: {words}")
    return results, words
