// Compiles every WGSL file of a folder with Tint, the compiler of Chrome, by the npm package `webgpu` (Dawn for Node). Its null backend
// needs no adapter. Prints each file that is rejected and fails if there is one, or none to check.
//
//     node scripts/chrome/check.mjs FOLDER

import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [folder, modules] = process.argv.slice(2);
const { create, globals } = createRequire(resolve(modules ?? ".", "package.json"))("webgpu");
Object.assign(globalThis, globals);

// Kept, since what it made ends with it.
const gpu = create(["backend=null"]);
const adapter = await gpu.requestAdapter();
const requiredFeatures = ["shader-f16", "subgroups"].filter((feature) => adapter.features.has(feature));
const device = await adapter.requestDevice({ requiredFeatures });

const files = readdirSync(folder).filter((name) => name.endsWith(".wgsl"));
let rejected = 0;
for (const name of files) {
    const text = readFileSync(join(folder, name), "utf8");
    // As for a browser's device; other compilers do not know the directive.
    const code = /\bsubgroup[A-Z]/.test(text) ? `enable subgroups;\n${text}` : text;
    device.pushErrorScope("validation");
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    await device.popErrorScope();
    const error = messages.find(({ type }) => type === "error");
    if (error) {
        rejected += 1;
        console.error(`${name}:${error.lineNum}: ${error.message}\n    ${code.split("\n")[error.lineNum - 1].trim()}`);
    }
}
console.log(`${files.length} kernels, ${rejected} rejected`);
process.exit(files.length > 0 && rejected === 0 ? 0 : 1);
