// wgrad: each step recorded anew, or captured once.

import init, { Contest, Device } from "./pkg/wgrad_web.js";
import { RATE } from "./workloads.mjs";

let device;

export async function prepare(workload, captured) {
    if (!device) {
        await init();
        device = await Device.open();
    }
    const tensor = (data, shape) => device.tensor(data, new Uint32Array(shape));
    const contest = new Contest(
        device,
        workload.name,
        RATE,
        workload.parameters.map(({ values, shape }) => tensor(new Float32Array(values), shape)),
        workload.batches.map(({ x, shape }) => tensor(workload.name === "gpt" ? new Int32Array(x) : new Float32Array(x), shape)),
        workload.batches.map(({ y }) => tensor(new Int32Array(y), [y.length])),
        captured,
    );
    return (steps) => contest.train(steps);
}

export const describe = () => device.info;
