// TensorFlow.js: its Adam and `minimize`, tidied; parameters and batches stay on the device. Images lie with their channels last, which is its
// faster layout. Classes and tokens are one-hot tensors, made once.

import { HEADS, RATE } from "./workloads.mjs";

const { tf } = globalThis;

const linear = (x, w, b) => {
    const y = tf.matMul(x, w, false, true);
    return b ? tf.add(y, b) : y;
};

function mlp([w1, b1, w2, b2, w3, b3], x) {
    return linear(tf.relu(linear(tf.relu(linear(x, w1, b1)), w2, b2)), w3, b3);
}

function cnn([w1, b1, w2, b2, w3, b3], x) {
    const layer = (x, w, b) => tf.maxPool(tf.relu(tf.add(tf.conv2d(x, w, 1, "same"), b)), 2, 2, "valid");
    const y = layer(layer(x, w1, b1), w2, b2);
    return linear(y.reshape([y.shape[0], 128]), w3, b3);
}

function layerNorm(x, w, b) {
    const { mean, variance } = tf.moments(x, -1, true);
    return tf.add(tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5))), w), b);
}

function gelu(x) {
    const inner = tf.mul(tf.add(x, tf.mul(tf.mul(tf.mul(x, x), x), 0.044715)), Math.sqrt(2 / Math.PI));
    return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
}

let mask;

function gpt(p, x) {
    const [n, time, classes] = x.shape;
    const width = p[0].shape[1];
    const rows = n * time;
    let h = tf.add(tf.matMul(x.reshape([rows, classes]), p[0]).reshape([n, time, width]), p[1]).reshape([rows, width]);
    const heads = (part) => part.reshape([n, time, HEADS, width / HEADS]).transpose([0, 2, 1, 3]);
    for (let i = 2; i + 3 < p.length; i += 12) {
        const [ln1, ln1b, qkv, qkvb, out, outb, ln2, ln2b, fc, fcb, proj, projb] = p.slice(i, i + 12);
        const [q, k, v] = tf.split(linear(layerNorm(h, ln1, ln1b), qkv, qkvb), 3, 1).map(heads);
        const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(width / HEADS)), mask);
        const seen = tf.matMul(tf.softmax(scores), v).transpose([0, 2, 1, 3]).reshape([rows, width]);
        h = tf.add(h, linear(seen, out, outb));
        h = tf.add(h, linear(gelu(linear(layerNorm(h, ln2, ln2b), fc, fcb)), proj, projb));
    }
    const [ln, lnb, head] = p.slice(-3);
    return linear(layerNorm(h, ln, lnb), head);
}

const FORWARD = { mlp, cnn, gpt };

/** Weights of convolutions and of the layer behind them, for channels that lie last. */
function laid(name, tensors) {
    if (name !== "cnn") return tensors;
    const dense = tensors[4].reshape([10, 32, 2, 2]).transpose([0, 2, 3, 1]).reshape([10, 128]);
    return [tensors[0].transpose([2, 3, 1, 0]), tensors[1], tensors[2].transpose([2, 3, 1, 0]), tensors[3], dense, tensors[5]];
}

export async function prepare(workload) {
    if (!(await tf.setBackend("webgpu"))) throw new Error("tfjs has no webgpu");
    await tf.ready();
    const tensor = (values, shape) => tf.tensor(new Float32Array(values), shape);
    const oneHot = (values, shape) => tf.oneHot(tf.tensor1d(new Int32Array(values), "int32"), workload.classes).reshape([...shape, workload.classes]).toFloat();
    const time = workload.batches[0].shape[1];
    if (workload.name === "gpt") {
        const values = Array.from({ length: time * time }, (_, i) => (i % time > Math.floor(i / time) ? -1e9 : 0));
        mask = tensor(values, [1, 1, time, time]);
    }
    const batches = workload.batches.map(({ x, shape, y }) => [
        workload.name === "gpt" ? oneHot(x, shape) : workload.name === "cnn" ? tensor(x, shape).transpose([0, 2, 3, 1]) : tensor(x, shape),
        oneHot(y, [y.length]),
    ]);
    const parameters = workload.parameters.map(({ values, shape }) => tensor(values, shape));
    const variables = laid(workload.name, parameters).map((value) => tf.variable(value));
    const optimizer = tf.train.adam(RATE, 0.9, 0.999, 1e-8);
    const forward = FORWARD[workload.name];
    let next = 0;
    return async (steps) => {
        const losses = [];
        for (let i = 0; i < steps; i += 1) {
            const [x, y] = batches[next % batches.length];
            next += 1;
            losses.push(optimizer.minimize(() => tf.losses.softmaxCrossEntropy(y, forward(variables, x)), true, variables));
        }
        const values = await Promise.all(losses.map(async (loss) => (await loss.data())[0]));
        losses.forEach((loss) => loss.dispose());
        return values;
    };
}

export const describe = () => `tfjs ${tf.version.tfjs} on ${tf.getBackend()}`;
