"""glTF's materials as linear textures: factors multiplied in, roughness held above its least."""

import numpy as np

from capture_maker.gltf_file import GltfFile
from capture_maker.surfaces import MIN_ROUGHNESS, Material, Texture, constant

_WRAPS = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
_NOT_RENDERED = {
    "emissiveFactor": "emission",
    "occlusionTexture": "baked occlusion",
}


class Materials:
    """Reads each material once; says which set of texture coordinates it needs."""

    def __init__(self, file: GltfFile):
        """Remember the file; nothing is decoded yet."""
        self._file = file
        self._known: dict[int | None, tuple[Material, int]] = {}
        self._images: dict[int, np.ndarray] = {}
        self.ignored: set[str] = set()

    def get(self, index: int | None) -> tuple[Material, int]:
        """Material `index` (None: glTF's default) and its TEXCOORD set."""
        if index not in self._known:
            entry = {} if index is None else self._file.json["materials"][index]
            self._known[index] = self._read(entry)
        return self._known[index]

    def _read(self, entry: dict) -> tuple[Material, int]:
        self._note_ignored(entry)
        pbr = entry.get("pbrMetallicRoughness", {})
        named = [pbr.get("baseColorTexture"), pbr.get("metallicRoughnessTexture")]
        named.append(entry.get("normalTexture"))
        sets = {texture.get("texCoord", 0) for texture in named if texture is not None}
        if len(sets) > 1:
            raise self._file.fault("has a material whose textures use several TEXCOORD sets")
        factor = np.array(pbr.get("baseColorFactor", [1, 1, 1, 1])[:3], np.float32)
        color = self._texture(named[0], srgb=True)
        color = constant(1, 1, 1) if color is None else color
        rough_metal = self._texture(named[1])
        rough_metal = constant(1, 1, 1) if rough_metal is None else rough_metal
        roughness = rough_metal.pixels[..., 1:2] * np.float32(pbr.get("roughnessFactor", 1))
        metallic = rough_metal.pixels[..., 2:3] * np.float32(pbr.get("metallicFactor", 1))
        normal = self._texture(named[2])
        if normal is not None:
            scale = np.float32(entry["normalTexture"].get("scale", 1))
            tilt = np.array([scale, scale, 1], np.float32)
            normal = Texture(0.5 + (normal.pixels - 0.5) * tilt, normal.wrap)
        material = Material(
            Texture(np.clip(color.pixels * factor, 0, 1), color.wrap),
            Texture(np.clip(roughness, MIN_ROUGHNESS, 1), rough_metal.wrap),
            Texture(np.clip(metallic, 0, 1), rough_metal.wrap),
            normal,
        )
        return material, sets.pop() if sets else 0

    def _texture(self, named: dict | None, srgb: bool = False) -> Texture | None:
        if named is None:
            return None
        if "KHR_texture_transform" in named.get("extensions", {}):
            raise self._file.fault("moves a texture by KHR_texture_transform, which is not read")
        texture = self._file.json["textures"][named["index"]]
        source = texture.get("source")
        if source is None:
            source = texture["extensions"]["EXT_texture_webp"]["source"]
        if source not in self._images:
            self._images[source] = self._file.image(source)
        pixels = self._images[source].astype(np.float32) / np.float32(255)
        if srgb:
            low = pixels <= 0.04045
            pixels = np.where(low, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
        sampler = {}
        if "sampler" in texture:
            sampler = self._file.json["samplers"][texture["sampler"]]
        wraps = {_WRAPS[sampler.get(key, 10497)] for key in ("wrapS", "wrapT")}
        if len(wraps) > 1:
            self.ignored.add("different wrapping along u and v (u's is used)")
        return Texture(pixels.astype(np.float32), _WRAPS[sampler.get("wrapS", 10497)])

    def _note_ignored(self, entry: dict) -> None:
        for key, name in _NOT_RENDERED.items():
            if entry.get(key) not in (None, [0, 0, 0]):
                self.ignored.add(name)
        if entry.get("alphaMode", "OPAQUE") != "OPAQUE":
            self.ignored.add("transparency")
        self.ignored.update(entry.get("extensions", {}))
