// Tests of the library and of the package in a real browser.
//
//     node run.mjs [--native portable_step] [--out FOLDER] [--share N] [NAME...]
//
// `--native` is the built example `portable_step`, which writes the captured step that the page loads and goes on with what the page
// saves. `--share` is how many cases of each op are held against PyTorch; 0 takes all. NAMEs choose tests by a part of their name.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { badCalls } from "./bad_calls.mjs";
import { launch, serve } from "./browser.mjs";
import { demoTests } from "./demo.mjs";
import { oracle } from "./oracle.mjs";

const { values: options, positionals: chosen } = parseArgs({
    options: { native: { type: "string" }, out: { type: "string" }, share: { type: "string", default: "2" } },
    allowPositionals: true,
});
const web = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const root = resolve(web, "..");
const out = resolve(options.out ?? join(web, "out"));
mkdirSync(out, { recursive: true });

/** Relative error up to which ops agree with the CPU reference, which computes in another order; gradients cancel more. */
const OPS = 1e-5;
const GRADIENTS = 2e-5;
/** Bound of the difference of a loss from the native one, relative to the first loss. */
const LOSSES = 1e-3;

function check(holds, text) {
    if (!holds) throw new Error(text);
}

/** Fails where something takes longer: a promise must not stay pending. */
async function within(seconds, what, promise) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what} took more than ${seconds} s`)), 1000 * seconds);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const base64 = (bytes) => Buffer.from(bytes).toString("base64");

/** The native step, made once: the file's bytes and the losses that follow it. */
let native;
function nativeStep() {
    if (!native) {
        check(options.native, "--native names no program; it makes the step that is loaded here");
        const folder = join(out, "native");
        execFileSync(options.native, ["--out", folder], { stdio: ["ignore", "ignore", "inherit"] });
        const losses = JSON.parse(readFileSync(join(folder, "losses.json"), "utf8"));
        native = { bytes: readFileSync(join(folder, "step.safetensors")), ...losses };
    }
    return native;
}

/** The largest difference of two curves, relative to where the second begins. */
function apart(ours, theirs) {
    check(ours.length === theirs.length && ours.length > 0, `${ours.length} losses against ${theirs.length}`);
    return Math.max(...ours.map((loss, i) => Math.abs(loss - theirs[i]))) / theirs[0];
}

const tests = {
    async "a device opens and says what it is"(page) {
        const found = await page.evaluate(async () => {
            const device = await wgrad.Device.open();
            return { info: device.info, adapters: await wgrad.adapters(), cpu: wgrad.Device.cpu().info };
        });
        check(found.info.includes("webgpu") && found.adapters === found.info, JSON.stringify(found));
        check(found.cpu.includes("CPU reference"), found.cpu);
        return found.info;
    },

    async "no WebGPU is an exception"(page, browser, url) {
        const bare = await browser.newPage();
        await bare.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
        await bare.goto(`${url}/web/test/page.html`);
        await bare.waitForFunction(() => window.wgrad);
        const error = await bare.evaluate(async () => {
            try {
                await wgrad.Device.open();
                return "opened";
            } catch (error) {
                return `${error instanceof Error} ${error.name}: ${error.message}`;
            }
        });
        await bare.close();
        check(error.startsWith("true NoAdapter: "), error);
        return error.slice(0, 60);
    },

    async "calls that block are errors that say what to await"(page) {
        const texts = await page.evaluate(async () => wgrad.blockingCalls(await wgrad.Device.open()));
        for (const text of texts) check(/_async|bytes/.test(text.slice(text.indexOf(":"))), text);
        check(texts.length >= 14, `${texts.length} calls: ${texts}`);
        return `${texts.length} calls`;
    },

    async "ops and their gradients agree with the CPU reference"(page) {
        const names = await page.evaluate(async () => {
            window.device = await wgrad.Device.open();
            return wgrad.caseNames();
        });
        const rows = [];
        for (const [i, name] of names.entries()) {
            const run = page.evaluate((i) => wgrad.runCase(i, window.device).catch((e) => `${e}`), i);
            const outcome = await within(60, name, run).catch((error) => `${error}`);
            const [value, gradient] = Array.isArray(outcome) ? outcome : [Infinity, Infinity];
            rows.push({ name, value, gradient, error: Array.isArray(outcome) ? undefined : outcome });
        }
        writeFileSync(join(out, "ops.json"), JSON.stringify(rows, null, 1));
        const failed = rows.filter(({ value, gradient }) => !(value <= OPS && gradient <= GRADIENTS));
        for (const row of failed) console.log(`    ${row.name}: ${row.error ?? `${row.value}, gradient ${row.gradient}`}`);
        check(failed.length === 0, `${failed.length} of ${rows.length} cases failed`);
        const worst = (key) => Math.max(...rows.map((row) => row[key])).toExponential(1);
        return `${rows.length} cases, 0 failures, at most ${worst("value")}, gradients ${worst("gradient")}`;
    },

    async "ops and their gradients agree with PyTorch"(page, browser, url) {
        const { table, misses, total, half } = await oracle(page, url, root, Number(options.share), out, within);
        for (const line of table) console.log(`    ${line}`);
        for (const miss of misses) console.log(`    ${miss}`);
        check(misses.length === 0, `${misses.length} of ${total.cases} cases failed`);
        check(total.ops >= 249 && total.backward > 0.4 * total.cases, JSON.stringify(total));
        return `${total.ops} ops, ${total.cases} cases, 0 failures${half ? "" : "; no f16 here, its cases are left out"}`;
    },

    async "digits are learnt, twice to the same bits"(page) {
        const run = () =>
            page.evaluate(async () => {
                const start = performance.now();
                const digits = new wgrad.Digits(await wgrad.Device.open(), 0);
                const losses = [await digits.train(digits.stepsPerEpoch)];
                const first = performance.now();
                for (let epoch = 1; epoch < 15; epoch += 1) losses.push(await digits.train(digits.stepsPerEpoch));
                const seconds = (performance.now() - first) / 1000;
                return {
                    losses,
                    accuracy: await digits.accuracy(),
                    hash: await digits.hash(),
                    rate: (14 * digits.stepsPerEpoch) / seconds,
                    first: first - start,
                };
            });
        const [a, b] = [await run(), await run()];
        check(a.accuracy >= 0.97, `the accuracy is ${a.accuracy}`);
        check(a.losses.at(-1) < a.losses[0] / 5, `losses ${a.losses}`);
        check(a.hash === b.hash, `weights ${a.hash}, then ${b.hash}`);
        const percent = (100 * a.accuracy).toFixed(2);
        return `${percent} %, weights ${a.hash} twice, ${a.rate.toFixed(0)} steps/s, first epoch ${a.first.toFixed(0)} ms`;
    },

    async "training goes on from saved bytes to the same bits"(page) {
        const [straight, resumed] = await page.evaluate(async () => {
            const device = await wgrad.Device.open();
            const digits = new wgrad.Digits(device, 1);
            await digits.train(60);
            const saving = digits.save();
            await digits.train(40); // what is saved is of the moment of the call
            const bytes = await saving;
            const other = new wgrad.Digits(await wgrad.Device.open(), 2);
            other.load(bytes);
            if (other.steps !== 60) throw new Error(`${other.steps} steps were loaded`);
            await other.train(40);
            return [await digits.hash(), await other.hash()];
        });
        check(straight === resumed, `weights ${straight}, resumed ${resumed}`);
        return straight;
    },

    async "a lost device ends promises, and training goes on from the last checkpoint"(page) {
        const found = await within(
            120,
            "recovery",
            page.evaluate(async () => {
                const straight = new wgrad.Digits(await wgrad.Device.open(), 3);
                await straight.train(80);
                const digits = new wgrad.Digits(await wgrad.Device.open(), 3);
                await digits.train(40);
                const checkpoint = await digits.save();
                const training = digits.train(20);
                window.opened.at(-1).destroy();
                const outcome = (promise) => promise.then((value) => `${value}`, (error) => `${error.name}: ${error.message}`);
                // What was under way may have come to its end.
                const under = await outcome(training);
                const errors = [];
                for (let i = 0; i < 3; i += 1) errors.push(await outcome((async () => digits.train(10))()));
                const fresh = new wgrad.Digits(await wgrad.Device.open(), 4);
                fresh.load(checkpoint);
                await fresh.train(40);
                return { under, errors, straight: await straight.hash(), recovered: await fresh.hash() };
            }),
        );
        for (const error of found.errors) check(error.startsWith("DeviceLost: "), `${error} (${found.under})`);
        check(found.straight === found.recovered, `weights ${found.straight}, recovered ${found.recovered}`);
        return found.errors[0];
    },

    async "a step captured natively trains on here, and back"(page) {
        const step = nativeStep();
        const half = Math.floor(step.losses.length / 2);
        const found = await page.evaluate(
            async ([bytes, from, count, half]) => {
                const step = (await wgrad.Device.open()).loadStep(Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)));
                const losses = [];
                let saved;
                for (let i = 0; i < count; i += 1) {
                    if (i === half) saved = await step.toBytes();
                    losses.push(await step.run(wgrad.digitsBatch(from + i))[0].item());
                }
                let binary = "";
                for (const byte of saved) binary += String.fromCharCode(byte);
                return { losses, names: step.names, saved: btoa(binary) };
            },
            [base64(step.bytes), step.from, step.losses.length, half],
        );
        const here = apart(found.losses, step.losses);
        check(found.names.includes("0.weight"), `${found.names}`);
        check(here <= LOSSES, `losses are ${here} apart from native ones: ${found.losses} and ${step.losses}`);
        check(step.losses.at(-1) < step.losses[0] / 2, "the native step does not learn");
        const file = join(out, "from_page.safetensors");
        writeFileSync(file, Buffer.from(found.saved, "base64"));
        const folder = join(out, "resumed");
        const args = ["--out", folder, "--resume", file, "--from", `${step.from + half}`, "--after", `${step.losses.length - half}`];
        execFileSync(options.native, args, { stdio: ["ignore", "ignore", "inherit"] });
        const resumed = JSON.parse(readFileSync(join(folder, "losses.json"), "utf8"));
        const back = apart(resumed.losses, found.losses.slice(half));
        check(back <= LOSSES, `losses are ${back} apart from the page's`);
        return `${step.losses.length} losses within ${here.toExponential(1)}, back within ${back.toExponential(1)} of the first`;
    },

    async "bad calls are the right exceptions"(page) {
        const results = await page.evaluate(badCalls, base64(nativeStep().bytes));
        for (const { name, expected, got } of results) {
            check(new RegExp(`^${expected}: .`).test(got), `${name}: ${got} where ${expected} was expected`);
        }
        check(results.length >= 20, `${results.length} calls`);
        return `${results.length} calls`;
    },
};

// The demo page gets the module of the tests, which has all of its own.
const server = await serve(root, { aliases: { "/web/demo/pkg/": join(web, "test/pkg") } });
const browser = await launch();
let failures = 0;

/** Runs a test that was chosen, and says how it went. */
async function run(name, limit, test) {
    if (chosen.length > 0 && !chosen.some((part) => name.includes(part))) return;
    const start = Date.now();
    try {
        const said = await within(limit, name, test());
        console.log(`ok      ${name}: ${said} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
    } catch (error) {
        failures += 1;
        console.log(`FAILED  ${name}: ${error.message}`);
    }
}

for (const [name, test] of Object.entries(tests)) {
    await run(name, 1800, async () => {
        // A page of its own: what one test breaks is whole in the next.
        const page = await browser.newPage();
        page.on("pageerror", (error) => console.log(`    page: ${error}`));
        page.on("console", (message) => message.type() === "error" && console.log(`    console: ${message.text()}`));
        try {
            await page.goto(`${server.url}/web/test/page.html`);
            await page.waitForFunction(() => window.wgrad);
            return await test(page, browser, server.url);
        } finally {
            await page.close();
        }
    });
}
for (const [name, test] of Object.entries(demoTests)) await run(name, 600, () => test(browser, server.url, out));
await browser.close();
server.close();
console.log(failures === 0 ? "all browser tests passed" : `${failures} browser tests failed`);
process.exit(failures === 0 ? 0 : 1);
