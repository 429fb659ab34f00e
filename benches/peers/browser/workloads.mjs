// The workloads: the same networks, weights and batches for every library.

/** Rate of Adam, for all. */
export const RATE = 1e-3;
/** Batches that take turns. */
const BATCHES = 8;
export const HEADS = 4;

/** Numbers from -1 to 1 by a seed. */
function random(seed) {
    let state = seed >>> 0;
    return () => {
        // xorshift32, Marsaglia 2003.
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        return (state >>> 0) / 2147483648 - 1;
    };
}

/** A parameter: uniform up to a bound, or the same number everywhere. */
function parameter(i, shape, bound, constant = 0) {
    const next = random(9176 + 7919 * i);
    const count = shape.reduce((a, b) => a * b, 1);
    for (let skip = 0; skip < 8; skip += 1) next();
    return { shape, values: Array.from({ length: count }, () => Math.fround(bound === 0 ? constant : bound * next())) };
}

const weight = (i, shape) => parameter(i, shape, Math.sqrt(3 / shape.slice(1).reduce((a, b) => a * b, 1)));

/** Images and labels of the digits: the file is described in data/digits/README.md. */
function digitBatches(bytes, size, shape) {
    return Array.from({ length: BATCHES }, (_, b) => {
        const [images, labels] = [[], []];
        for (let i = b * size; i < (b + 1) * size; i += 1) {
            for (let p = 0; p < 64; p += 1) images.push(bytes[65 * i + p] / 16);
            labels.push(bytes[65 * i + 64]);
        }
        return { x: images, shape: [size, ...shape], y: labels };
    });
}

/** Windows of a text and what follows them. */
function textBatches(text, size, time) {
    const characters = [...new Set(text)].sort();
    const tokens = [...text].map((c) => characters.indexOf(c));
    const next = random(77);
    const batches = Array.from({ length: BATCHES }, () => {
        const [x, y] = [[], []];
        for (let i = 0; i < size; i += 1) {
            const start = Math.floor(((next() + 1) / 2) * (tokens.length - time - 1));
            x.push(...tokens.slice(start, start + time));
            y.push(...tokens.slice(start + 1, start + time + 1));
        }
        return { x, shape: [size, time], y };
    });
    return { batches, vocabulary: characters.length };
}

/** All workloads, given the bytes of the digits and a text. */
export function workloads(digits, text) {
    const [time, width] = [64, 64];
    const { batches, vocabulary } = textBatches(text, 8, time);
    const block = (i) => [
        parameter(i, [width], 0, 1),
        parameter(i + 1, [width], 0),
        weight(i + 2, [3 * width, width]),
        parameter(i + 3, [3 * width], 0),
        weight(i + 4, [width, width]),
        parameter(i + 5, [width], 0),
        parameter(i + 6, [width], 0, 1),
        parameter(i + 7, [width], 0),
        weight(i + 8, [4 * width, width]),
        parameter(i + 9, [4 * width], 0),
        weight(i + 10, [width, 4 * width]),
        parameter(i + 11, [width], 0),
    ];
    const dense = (i, outputs, inputs) => [weight(i, [outputs, inputs]), parameter(i + 1, [outputs], 0)];
    return [
        {
            name: "mlp",
            title: "digits MLP 64-128-64-10, batch 32",
            classes: 10,
            parameters: [...dense(0, 128, 64), ...dense(2, 64, 128), ...dense(4, 10, 64)],
            batches: digitBatches(digits, 32, [64]),
        },
        {
            name: "cnn",
            title: "digits CNN, 16 and 32 channels, batch 32",
            classes: 10,
            parameters: [
                weight(20, [16, 1, 3, 3]),
                parameter(21, [16], 0),
                weight(22, [32, 16, 3, 3]),
                parameter(23, [32], 0),
                ...dense(24, 10, 128),
            ],
            batches: digitBatches(digits, 32, [1, 8, 8]),
        },
        {
            name: "gpt",
            title: "GPT, 2 layers of 64, 4 heads, 8 × 64 characters",
            classes: vocabulary,
            parameters: [
                parameter(40, [vocabulary, width], 0.1),
                parameter(41, [time, width], 0.1),
                ...block(42),
                ...block(54),
                parameter(66, [width], 0, 1),
                parameter(67, [width], 0),
                weight(68, [vocabulary, width]),
            ],
            batches,
        },
    ];
}
