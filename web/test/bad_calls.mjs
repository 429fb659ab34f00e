// Calls that are wrong, each with the kind of its exception. The function runs in the page.

/** Makes every bad call: what was expected, and the name and text of what was thrown. */
export async function badCalls(encoded) {
    const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
    const device = await wgrad.Device.open();
    const other = await wgrad.Device.open();
    const cpu = wgrad.Device.cpu();
    const step = device.loadStep(bytes);
    const [images, labels] = wgrad.digitsBatch(0);
    const flipped = Uint8Array.from(bytes);
    flipped[bytes.length - 9] ^= 1;
    const longHeader = new Uint8Array(16).fill(0xff);
    const digits = new wgrad.Digits(device, 0);
    const filled = device.tensors();
    filled.set("x", device.tensor(new Float32Array(4), new Uint32Array([2, 2])));
    const saved = await filled.toBytes();

    const calls = [
        ["a step of no bytes", "Argument", () => device.loadStep(new Uint8Array())],
        ["a step of zeros", "Argument", () => device.loadStep(new Uint8Array(1000))],
        ["half a step", "Argument", () => device.loadStep(bytes.slice(0, bytes.length / 2))],
        ["a step with a flipped bit", "Argument", () => device.loadStep(flipped)],
        ["plain tensors as a step", "Argument", () => device.loadStep(saved)],
        ["a step on the CPU reference", "Unsupported", () => cpu.loadStep(bytes)],
        ["tensors of no bytes", "Io", () => device.loadTensors(new Uint8Array())],
        ["a header that is too long", "Io", () => device.loadTensors(longHeader)],
        ["half of the tensors", "Io", () => device.loadTensors(saved.slice(0, saved.length - 4))],
        ["64-bit elements", "DType", () => device.tensor(new Float64Array(4), new Uint32Array([4]))],
        ["an array that is not typed", "DType", () => device.tensor([1, 2], new Uint32Array([2]))],
        ["too few elements", "Length", () => device.tensor(new Float32Array(3), new Uint32Array([2, 2]))],
        ["an item of two", "Argument", () => device.tensor(new Float32Array(2), new Uint32Array([2])).item()],
        ["no inputs", "Shape", () => step.run([])],
        ["inputs of another size", "Shape", () => step.run([images.slice(1), labels])],
        ["an input of another type", "Argument", () => step.run([images, Float32Array.from(labels)])],
        ["an input that is a text", "DType", () => step.run(["images", labels])],
        ["a variable that is not there", "Argument", () => step.get("2.weight")],
        ["a value of another shape", "Shape", () => step.set("0.bias", device.tensor(new Float32Array(2), new Uint32Array([2])))],
        ["a value of another type", "DType", () => step.set("0.bias", device.tensor(new Int32Array(32), new Uint32Array([32])))],
        ["a value on another device", "DeviceMismatch", () => step.set("0.bias", other.tensor(new Float32Array(32), new Uint32Array([32])))],
        ["a learning rate that is not there", "Argument", () => step.setRate(7, 0.1)],
        ["a label out of range", "IndexOutOfRange", () => step.run([images, labels.fill(99)])[0].item()],
        ["a tensor that is not there", "Argument", () => filled.get("y")],
        ["a tensor of another device", "DeviceMismatch", () => filled.set("y", other.tensor(new Float32Array(1), new Uint32Array([1])))],
        ["an image of nine pixels", "Length", () => digits.probabilities(new Float32Array(9))],
        ["digits from a step", "Io", () => digits.load(bytes)],
        ["digits from no bytes", "Io", () => digits.load(new Uint8Array())],
    ];
    const results = [];
    for (const [name, expected, call] of calls) {
        let got = "no exception";
        try {
            await call();
        } catch (error) {
            got = error instanceof Error ? `${error.name}: ${error.message}` : `not an Error: ${error}`;
        }
        results.push({ name, expected, got });
    }
    // All of it left the device as good as before.
    const sound = await device.tensor(new Float32Array([2.5]), new Uint32Array([1])).item();
    results.push({ name: "a sound call after them", expected: "2.5", got: `${sound}: as before` });
    return results;
}
