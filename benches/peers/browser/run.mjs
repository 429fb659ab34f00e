// Trains the same networks by wgrad, jax-js and TensorFlow.js in one Chromium, in turns, and writes a table.
//
//     node run.mjs [--rounds 5] [--seconds 3] [--out FILE] [WORKLOAD...]

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { launch, serve } from "../../../web/test/browser.mjs";
import { workloads } from "./workloads.mjs";

const { values: options, positionals: chosen } = parseArgs({
    options: {
        rounds: { type: "string", default: "5" },
        seconds: { type: "string", default: "3" },
        out: { type: "string" },
    },
    allowPositionals: true,
});
const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../../..");

/** Steps whose losses are compared with wgrad's one by one, and those after which the loss has to have fallen. */
const COMPARED = 5;
const TRAINED = 64;
/** Seconds after which an engine is not trained further before the rounds; the first losses are compared in any case. */
const PATIENCE = 60;
/** Relative difference of those first losses, and of the mean of the last eight: a cycle of batches. */
const CYCLE = 8;
const FIRST = 1e-3;
const LAST = 0.05;
/** Seconds after which an engine that has not answered is left out. */
const LIMIT = 300;

const ENGINES = [
    { name: "wgrad", module: "wgrad.mjs", captured: false },
    { name: "wgrad, captured", module: "wgrad.mjs", captured: true },
    { name: "jax-js, jit", module: "jax.mjs" },
    { name: "tfjs, webgpu", module: "tfjs.mjs", scripts: ["@tensorflow/tfjs/dist/tf.min.js", "@tensorflow/tfjs-backend-webgpu/dist/tf-backend-webgpu.min.js"] },
];

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

function within(seconds, promise) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no answer in ${seconds} s`)), 1000 * seconds);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/**
 * A page with the engine, which has prepared the workload. Each has a browser of its own: Chromium ends as a whole where its GPU process hangs for
 * seconds, as it does under tfjs's GPT on a software adapter; its watchdog is off for the same reason.
 */
async function enter(url, engine, workload) {
    const browser = await launch(["--disable-gpu-watchdog"]);
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.log(`    ${engine.name}: ${error}`));
    await page.goto(`${url}/benches/peers/browser/page.html`);
    for (const script of engine.scripts ?? []) await page.addScriptTag({ url: `node_modules/${script}` });
    await page.evaluate(
        async ([module, workload, captured]) => {
            const engine = await import(`/benches/peers/browser/${module}`);
            const start = performance.now();
            window.train = await engine.prepare(workload, captured);
            // Steps for about so many milliseconds, and the time of a step.
            window.turn = async (milliseconds, chunk) => {
                const start = performance.now();
                let steps = 0;
                while (performance.now() - start < milliseconds) {
                    await window.train(chunk);
                    steps += chunk;
                }
                return (1000 * steps) / (performance.now() - start);
            };
            window.prepared = performance.now() - start;
            window.words = engine.describe();
        },
        [engine.module, workload, engine.captured],
    );
    return page;
}

/** What an engine gave: losses of the first steps, or why it is left out. */
async function warm(url, engine, workload) {
    try {
        const page = await within(LIMIT, enter(url, engine, workload));
        const losses = await within(LIMIT, page.evaluate(async ([least, most, patience]) => {
            const start = performance.now();
            const losses = [...(await window.train(1))];
            window.firstStep = performance.now() - start;
            const over = () => performance.now() - start > 1000 * patience;
            while (losses.length < most && !(over() && losses.length >= least)) losses.push(...(await window.train(1)));
            return Array.from(losses);
        }, [COMPARED, TRAINED, PATIENCE]));
        const firstStep = await page.evaluate(() => window.firstStep);
        // A wait costs each engine about as much: chunks of about a quarter of a second.
        const rate = await within(LIMIT, page.evaluate(() => window.turn(1000, 1)));
        return { page, losses, firstStep, chunk: Math.max(1, Math.round(rate / 4)), rates: [] };
    } catch (error) {
        return { failed: error.message.split("\n")[0] };
    }
}

const digits = [...readFileSync(join(root, "data/digits/digits.bin")).subarray(16)];
const all = workloads(digits, readFileSync(join(root, "data/text/harbour.txt"), "utf8"));
const server = await serve(root);
let version;
const lines = [];
const notes = [];
for (const workload of all.filter(({ name }) => chosen.length === 0 || chosen.includes(name))) {
    const entered = [];
    for (const engine of ENGINES) {
        const entry = await warm(server.url, engine, workload);
        entered.push({ engine, ...entry });
        const said = entry.failed ?? `losses ${entry.losses.slice(0, 3).map((l) => l.toFixed(4)).join(", ")} … ${mean(entry.losses.slice(-8)).toFixed(4)}`;
        console.log(`${workload.name}, ${engine.name}: ${said}`);
    }
    const [ours] = entered;
    for (const entry of entered) {
        if (entry.failed) continue;
        const first = Math.max(...entry.losses.slice(0, COMPARED).map((loss, i) => Math.abs(loss / ours.losses[i] - 1)));
        // As far as both have come; a fall is seen over two cycles.
        const steps = Math.min(entry.losses.length, ours.losses.length);
        const end = (losses) => mean(losses.slice(steps - CYCLE, steps));
        const enough = steps >= 2 * CYCLE;
        const last = enough ? Math.abs(end(entry.losses) / end(ours.losses) - 1) : 0;
        const falls = !enough || end(entry.losses) < 0.95 * mean(entry.losses.slice(0, CYCLE));
        Object.assign(entry, { first, last, steps, enough, right: first <= FIRST && last <= LAST && falls });
    }
    for (let round = 0; round < Number(options.rounds); round += 1) {
        // Each round begins with another engine.
        for (let i = 0; i < entered.length; i += 1) {
            const entry = entered[(i + round) % entered.length];
            if (entry.failed) continue;
            const turn = entry.page.evaluate(([ms, chunk]) => window.turn(ms, chunk), [1000 * Number(options.seconds), entry.chunk]);
            try {
                entry.rates.push(await within(LIMIT, turn));
            } catch (error) {
                entry.failed = error.message.split("\n")[0];
            }
        }
    }
    const rate = (entry) => (entry.failed ? 0 : median(entry.rates));
    const own = Math.max(...entered.slice(0, 2).map(rate));
    const best = Math.max(...entered.slice(2).filter((entry) => entry.right).map(rate), 0);
    const cell = (entry) => {
        if (entry.failed) return "failed";
        return `${entry.right ? "" : "**WRONG** "}${rate(entry).toFixed(1)}`;
    };
    lines.push(`| ${workload.title} | ${entered.map(cell).join(" | ")} | ${best > 0 ? `${(own / best).toFixed(1)} ×` : "–"} |`);
    for (const entry of entered) {
        notes.push(
            entry.failed
                ? `| ${workload.name} | ${entry.engine.name} | failed: ${entry.failed} | | | | | |`
                : `| ${workload.name} | ${entry.engine.name} | ${entry.losses[0].toFixed(4)} | ${entry.steps} | ${entry.losses[entry.steps - 1].toFixed(4)} | ${entry.first.toExponential(0)} | ${entry.enough ? entry.last.toExponential(0) : "–"} | ${(entry.firstStep / 1000).toFixed(1)} s |`,
        );
        version ??= entry.page?.context().browser().version();
        await entry.page?.context().browser().close();
    }
    console.log(lines.at(-1));
}
server.close();
const versions = JSON.parse(readFileSync(join(here, "package.json"), "utf8")).dependencies;
const text = `# Training in a browser, beside jax-js and TensorFlow.js

Written by \`benches/peers/browser/run\`, ${options.rounds} rounds in turns of ${options.seconds} s. Chromium ${version}, headless, with its software adapter
(SwiftShader) on ${cpus().length} cores (${cpus()[0].model.trim()}); @jax-js/jax ${versions["@jax-js/jax"]}, @tensorflow/tfjs ${versions["@tensorflow/tfjs"]} with its WebGPU backend.

Steps per second, the median of the rounds; more is better.

| workload | ${ENGINES.map(({ name }) => name).join(" | ")} | wgrad against the better peer |
|---|${"---:|".repeat(ENGINES.length + 1)}
${lines.join("\n")}

- All have the same weights, the same eight batches and Adam at 1e-3, by numbers that \`workloads.mjs\` makes. Parameters, the optimizer's state and the batches
  stay on the device; losses are read once per chunk of about a quarter of a second.
- jax-js: the step with gradients and Adam is one function under \`jit\`. Adam is written with its arrays, inside that function. tfjs: \`tf.train.adam\` and \`minimize\`;
  images with their channels last. Both get one-hot arrays for classes and tokens, made once.
- A result is **WRONG** where one of the first ${COMPARED} losses is more than ${FIRST} off wgrad's, or the mean of the last
  ${CYCLE} of up to ${TRAINED} is more than ${LAST}, relative, or does not fall. An engine that is slow is compared over fewer steps.

| workload | engine | first loss | steps compared | loss then | first ${COMPARED} losses off by | last ${CYCLE} off by | first step |
|---|---|---:|---:|---:|---:|---:|---:|
${notes.join("\n")}
`;
if (options.out) {
    mkdirSync(dirname(resolve(options.out)), { recursive: true });
    writeFileSync(options.out, text);
}
console.log(text);
