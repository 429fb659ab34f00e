// The package: the wasm file is loaded with the first device.

import init, { Device } from "./pkg/wgrad_web.js";

export { Device, Step, Tensor, Tensors } from "./pkg/wgrad_web.js";

let loaded;

/** Loads the wasm file; more calls wait for the same load. */
export function load(source) {
    loaded ??= init(source === undefined ? undefined : { module_or_path: source });
    return loaded;
}

/** Opens the GPU. Rejected with a `NoAdapter` error where the browser has no WebGPU. */
export async function open({ portable = false, source } = {}) {
    await load(source);
    return Device.open(portable);
}

/** The CPU reference, without a GPU. Captured steps do not run on it. */
export async function cpu({ source } = {}) {
    await load(source);
    return Device.cpu();
}
