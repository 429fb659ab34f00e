import type { Device } from "./pkg/wgrad_web.js";

export { Device, Step, Tensor, Tensors } from "./pkg/wgrad_web.js";

/** Where the wasm file comes from; without it, from beside the module. */
export type Source = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

/** Loads the wasm file; more calls wait for the same load. `open` and `cpu` call it. */
export function load(source?: Source | Promise<Response>): Promise<unknown>;

/**
 * Opens the GPU. Rejected with a `NoAdapter` error where the browser has no WebGPU. `portable` keeps kernels within what every WebGPU
 * device has, so that steps that are saved run on all of them.
 */
export function open(options?: { portable?: boolean; source?: Source }): Promise<Device>;

/** The CPU reference, without a GPU. Captured steps do not run on it. */
export function cpu(options?: { source?: Source }): Promise<Device>;
