// Draw a .glb as three.js shows it, and what it takes the surface for, as linear floats.
// /job.json says what; every picture goes to /result/NAME as float32 RGBA, bottom row first.

import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { HDRLoader } from "three/addons/loaders/HDRLoader.js";

// What a MeshStandardMaterial's fragment shader knows at its end, instead of the shaded colour.
const MAPS = {
  albedo: "diffuseColor.rgb",
  normal: "transpose(mat3(viewMatrix)) * normal",
  surface: "vec3(roughnessFactor, metalnessFactor, 0.0)",
};

function showing(material, expression) {
  const other = material.clone();
  other.onBeforeCompile = (shader) => {
    shader.fragmentShader = shader.fragmentShader.replace(
      "#include <opaque_fragment>",
      `gl_FragColor = vec4(${expression}, 1.0);`,
    );
  };
  other.customProgramCacheKey = () => expression;
  return other;
}

function cameraOf(job) {
  const camera = new THREE.PerspectiveCamera();
  camera.matrixAutoUpdate = false;
  camera.matrix.set(...job.camera_to_world);
  camera.updateMatrixWorld(true);
  camera.projectionMatrix.set(...job.projection);
  camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
  return camera;
}

async function main() {
  const job = await (await fetch("/job.json")).json();
  const renderer = new THREE.WebGLRenderer({ antialias: false });
  renderer.toneMapping = THREE.NoToneMapping;
  const target = new THREE.WebGLRenderTarget(job.width_px, job.height_px, {
    type: THREE.FloatType,
    colorSpace: THREE.LinearSRGBColorSpace,
  });
  const scene = new THREE.Scene();
  const meshes = [];
  const gltf = await new GLTFLoader().loadAsync("/asset.glb");
  gltf.scene.traverse((node) => node.isMesh && meshes.push([node, node.material]));
  scene.add(gltf.scene);
  const camera = cameraOf(job);

  async function draw(name) {
    renderer.setRenderTarget(target);
    renderer.setClearColor(0x000000, 0);
    renderer.clear();
    renderer.render(scene, camera);
    const pixels = new Float32Array(4 * job.width_px * job.height_px);
    renderer.readRenderTargetPixels(target, 0, 0, job.width_px, job.height_px, pixels);
    await fetch(`/result/${name}`, { method: "POST", body: pixels });
  }

  const prefilter = new THREE.PMREMGenerator(renderer);
  for (const name of job.environments) {
    const map = await new HDRLoader().setDataType(THREE.FloatType).loadAsync(`/${name}.hdr`);
    map.mapping = THREE.EquirectangularReflectionMapping;
    scene.environment = prefilter.fromEquirectangular(map).texture;
    await draw(name);
  }
  for (const [name, expression] of Object.entries(MAPS)) {
    for (const [mesh, material] of meshes) mesh.material = showing(material, expression);
    await draw(name);
  }
  const gl = renderer.getContext();
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const card = info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "unknown";
  await fetch("/done", { method: "POST", body: `three.js r${THREE.REVISION}, ${card}` });
}

main().catch((error) => fetch("/failed", { method: "POST", body: String(error.stack ?? error) }));
