// What the machine and the browser can and cannot do, in words.

/** Features of an adapter that the kernels use where they are there, and what is done without them. */
const FEATURES = [
    ["subgroups", "Subgroup operations", "sums inside a workgroup pass through its memory"],
    ["shader-f16", "16-bit floats", "everything is computed in 32 bits, and tensors in f16 are errors"],
];

function row(name, has, words) {
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.textContent = words;
    description.className = has ? "has" : "lacks";
    return [term, description];
}

/** What a browser says of its adapter; some say nothing. */
export async function adapterName(device) {
    const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
    const { vendor, architecture, description } = adapter?.info ?? {};
    const words = description || [vendor, architecture].filter(Boolean).join(" ");
    return words ? `${words} ${device.info.trim()}` : device.info.trim();
}

/** The rows of the list: terms and descriptions. */
export async function machine(device) {
    const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
    const rows = [row("Adapter", Boolean(adapter), await adapterName(device))];
    if (!adapter) {
        rows.push(
            row("WebGPU", false, "not there: everything runs on the CPU, on one thread, many times slower"),
            row("Captured steps", false, "steps from files run on a GPU only"),
        );
    } else {
        const software = /swiftshader|llvmpipe|lavapipe|warp/i.test(`${adapter.info?.description} ${adapter.info?.architecture}`);
        if (software || adapter.info?.isFallbackAdapter) {
            rows.push(row("Hardware", false, "none: this adapter is a program on the CPU, many times slower than a GPU"));
        }
        for (const [feature, name, without] of FEATURES) {
            const has = adapter.features.has(feature);
            rows.push(row(name, has, has ? "there" : `not there: ${without}`));
        }
        rows.push(
            row("64-bit floats", false, "not there: WebGPU has none"),
            row("Matrix units", false, "not there: WebGPU does not offer them"),
        );
    }
    rows.push(
        row("Times of kernels", false, "not measured in a page"),
        row("Threads", false, "one: batches are prepared between the steps"),
    );
    return rows.flat();
}
