// Khronos' glTF validator on one file: its report as JSON on stdout. Called by check_glb.py.
//
//     node validate_glb.mjs FOLDER_OF_GLTF_VALIDATOR FILE

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, file] = process.argv.slice(2);
const validator = createRequire(import.meta.url)(folder);
const bytes = new Uint8Array(readFileSync(file));
const report = await validator.validateBytes(bytes, { maxIssues: 0 });
process.stdout.write(JSON.stringify(report));
