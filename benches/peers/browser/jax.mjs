// jax-js: the whole step, gradients and Adam, is one function under jit; parameters, state and batches stay on the device. Classes and tokens are
// one-hot arrays, made once.

import { defaultDevice, init, jit, lax, nn, numpy as np, valueAndGrad } from "@jax-js/jax";
import { HEADS, RATE } from "./workloads.mjs";

const linear = (x, w, b) => {
    const y = np.matmul(x, np.transpose(w));
    return b ? y.add(b) : y;
};

function mlp([w1, b1, w2, b2, w3, b3], x) {
    return linear(nn.relu(linear(nn.relu(linear(x, w1, b1)), w2, b2)), w3, b3);
}

function cnn([w1, b1, w2, b2, w3, b3], x) {
    const layer = (x, w, b) => {
        const channels = w.shape[0];
        const y = lax.convGeneralDilated(x, w, [1, 1], [[1, 1], [1, 1]]).add(b.reshape([1, channels, 1, 1]));
        const [n, c, height, width] = y.shape;
        return np.max(nn.relu(y).reshape([n, c, height / 2, 2, width / 2, 2]), [3, 5]);
    };
    const y = layer(layer(x, w1, b1), w2, b2);
    return linear(y.reshape([y.shape[0], 128]), w3, b3);
}

function layerNorm(x, w, b) {
    const mean = np.mean(x.ref, -1, { keepdims: true });
    const centred = x.sub(mean);
    const variance = np.mean(np.square(centred.ref), -1, { keepdims: true });
    return centred.div(np.sqrt(variance.add(1e-5))).mul(w).add(b);
}

function gpt(p, x) {
    const [n, time] = x.shape;
    const width = p[0].shape[1];
    let h = np.matmul(x, p[0]).add(p[1]);
    for (let i = 2; i + 3 < p.length; i += 12) {
        const [ln1, ln1b, qkv, qkvb, out, outb, ln2, ln2b, fc, fcb, proj, projb] = p.slice(i, i + 12);
        const all = linear(layerNorm(h.ref, ln1, ln1b), qkv, qkvb);
        const [q, k, v] = np.split(all, 3, -1).map((part) => part.reshape([n, time, HEADS, width / HEADS]));
        const seen = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([n, time, width]);
        h = h.add(linear(seen, out, outb));
        const inner = nn.gelu(linear(layerNorm(h.ref, ln2, ln2b), fc, fcb));
        h = h.add(linear(inner, proj, projb));
    }
    const [ln, lnb, head] = p.slice(-3);
    return linear(layerNorm(h, ln, lnb), head).reshape([n * time, -1]);
}

const FORWARD = { mlp, cnn, gpt };

function training(forward) {
    const loss = (p, x, y) => np.mean(np.sum(nn.logSoftmax(forward(p, x), -1).mul(y), -1)).mul(-1);
    const graded = valueAndGrad(loss);
    return jit((p, m, v, t, x, y) => {
        const [value, g] = graded(p.map((a) => a.ref), x, y);
        const step = t.add(1);
        const c1 = np.exp(step.ref.mul(Math.log(0.9))).mul(-1).add(1);
        const c2 = np.exp(step.ref.mul(Math.log(0.999))).mul(-1).add(1);
        const m2 = m.map((a, i) => a.mul(0.9).add(g[i].ref.mul(0.1)));
        const v2 = v.map((a, i) => a.mul(0.999).add(np.square(g[i]).mul(0.001)));
        const p2 = p.map((a, i) => {
            const rooted = np.sqrt(v2[i].ref.div(c2.ref)).add(1e-8);
            return a.sub(m2[i].ref.div(c1.ref).div(rooted).mul(RATE));
        });
        c1.dispose();
        c2.dispose();
        return [p2, m2, v2, step, value];
    });
}

let ready;

export async function prepare(workload) {
    if (!ready) {
        const devices = await init();
        if (!devices.includes("webgpu")) throw new Error(`jax-js has ${devices}`);
        defaultDevice("webgpu");
        ready = true;
    }
    const array = (values, shape) => np.array(new Float32Array(values)).reshape(shape);
    const oneHot = (values, classes, shape) => {
        const hot = new Float32Array(values.length * classes);
        values.forEach((value, i) => (hot[i * classes + value] = 1));
        return array(hot, [...shape, classes]);
    };
    const { classes } = workload;
    const batches = workload.batches.map(({ x, shape, y }) => [
        workload.name === "gpt" ? oneHot(x, classes, shape) : array(x, shape),
        oneHot(y, classes, [y.length]),
    ]);
    let p = workload.parameters.map(({ values, shape }) => array(values, shape));
    let m = workload.parameters.map(({ shape }) => np.zeros(shape));
    let v = workload.parameters.map(({ shape }) => np.zeros(shape));
    let t = np.array(new Float32Array([0])).reshape([]);
    const update = training(FORWARD[workload.name]);
    let next = 0;
    return async (steps) => {
        const losses = [];
        for (let i = 0; i < steps; i += 1) {
            const [x, y] = batches[next % batches.length];
            next += 1;
            let loss;
            [p, m, v, t, loss] = update(p, m, v, t, x.ref, y.ref);
            losses.push(loss);
        }
        return Promise.all(losses.map(async (loss) => (await loss.data())[0]));
    };
}

export const describe = () => "jax-js on webgpu";
