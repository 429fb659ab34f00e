// The demo page: trains on the GPU while the visitor draws.

import { drawCurve } from "./curve.js";
import { Pad } from "./pad.js";
import { read, write } from "./storage.js";
import init, { Device, Digits } from "./pkg/wgrad_web.js";

const KEY = "digits";
const SEED = 0;
/** Steps between two looks at the page: a share of an epoch. */
const CHUNK = 11;

const $ = (id) => document.getElementById(id);
const state = { running: false, device: undefined, digits: undefined, losses: [], accuracies: [], speed: 0 };

function say(text) {
    $("message").textContent = text;
}

/** Shows that there is nothing to train with, and why. */
function unsupported(error) {
    $("adapter").textContent = "";
    $("reason").textContent = error.message;
    $("unsupported").hidden = false;
    $("app").hidden = true;
}

function rate() {
    return 10 ** Number($("rate").value);
}

function showRate() {
    $("rate-value").textContent = rate().toPrecision(2);
}

function show() {
    const { digits, losses, accuracies } = state;
    const per = digits.stepsPerEpoch;
    $("epoch").textContent = String(Math.floor(digits.steps / per));
    $("progress").value = (digits.steps % per) / per;
    $("loss").textContent = losses.length > 0 ? losses.at(-1).value.toPrecision(3) : "–";
    $("accuracy").textContent = accuracies.length > 0 ? `${(100 * accuracies.at(-1).value).toFixed(1)} %` : "–";
    $("speed").textContent = state.speed > 0 ? Math.round(state.speed).toLocaleString("en") : "–";
    drawCurve($("curve"), losses, accuracies);
}

/** The probabilities for what is on the pad, by the weights of now. */
async function guess() {
    const probabilities = pad.empty ? new Float32Array(10) : await state.digits.probabilities(pad.pixels());
    const best = pad.empty ? -1 : probabilities.indexOf(Math.max(...probabilities));
    for (const [i, item] of [...$("bars").children].entries()) {
        item.classList.toggle("best", i === best);
        item.querySelector(".bar").style.transform = `scaleX(${probabilities[i]})`;
        item.querySelector(".share").textContent = pad.empty ? "" : `${(100 * probabilities[i]).toFixed(0)} %`;
    }
}

async function measure() {
    state.accuracies.push({ step: state.digits.steps, value: await state.digits.accuracy() });
}

/** One step of the loop: some steps of training, and what the page shows of them. */
async function chunk() {
    const { digits } = state;
    const start = performance.now();
    const loss = await digits.train(CHUNK);
    const speed = (CHUNK * digits.batchSize * 1000) / (performance.now() - start);
    state.speed = state.speed > 0 ? 0.8 * state.speed + 0.2 * speed : speed;
    state.losses.push({ step: digits.steps, value: loss });
    if (digits.steps % digits.stepsPerEpoch < CHUNK) {
        await measure();
        await keep();
    }
}

async function train() {
    while (state.running) {
        try {
            await chunk();
            show();
            await guess();
        } catch (error) {
            await recover(error);
        }
        // The page draws, and answers the visitor.
        await new Promise((resolve) => (document.hidden ? setTimeout(resolve) : requestAnimationFrame(resolve)));
    }
}

/** After the GPU was lost: opens it again, and goes on from what was kept last. */
async function recover(error) {
    if (error.name !== "DeviceLost") {
        pause();
        say(`${error.name}: ${error.message}`);
        return;
    }
    say("The GPU was lost; going on from what was kept last.");
    try {
        await start();
    } catch (again) {
        pause();
        unsupported(again);
    }
}

async function keep() {
    const bytes = await state.digits.save();
    // A browser that keeps nothing, as in a private window, still trains.
    await write(KEY, { bytes, losses: state.losses, accuracies: state.accuracies }).catch(() => undefined);
}

/** A device, and a network: the one that was kept, or a new one. */
async function start() {
    state.device = await Device.open();
    state.digits = new Digits(state.device, SEED);
    state.losses = [];
    state.accuracies = [];
    const kept = await read(KEY).catch(() => undefined);
    if (kept) {
        try {
            take(kept.bytes);
            state.losses = kept.losses;
            state.accuracies = kept.accuracies;
        } catch (error) {
            say(`What was kept here cannot be read: ${error.message}`);
        }
    }
    state.digits.rate = rate();
}

function take(bytes) {
    state.digits.load(bytes);
    $("rate").value = Math.log10(state.digits.rate);
    showRate();
}

function pause() {
    state.running = false;
    $("run").textContent = "Train";
}

const pad = new Pad($("pad"), $("seen"), () => guess().catch(recover));

for (let digit = 0; digit < 10; digit += 1) {
    const item = document.createElement("li");
    item.innerHTML = `<span>${digit}</span><div class="track"><div class="bar"></div></div><span class="share"></span>`;
    $("bars").append(item);
}

$("run").addEventListener("click", () => {
    if (state.running) {
        pause();
        return;
    }
    state.running = true;
    $("run").textContent = "Pause";
    say("");
    train();
});

$("rate").addEventListener("input", () => {
    showRate();
    state.digits.rate = rate();
});

$("clear").addEventListener("click", () => pad.clear());

$("reset").addEventListener("click", async () => {
    pause();
    await write(KEY, undefined).catch(() => undefined);
    state.digits = new Digits(state.device, SEED);
    state.digits.rate = rate();
    state.losses = [];
    state.accuracies = [];
    state.speed = 0;
    show();
    await guess();
    say("The weights are random again.");
});

$("save").addEventListener("click", async () => {
    const bytes = await state.digits.save();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes]));
    link.download = "digits.safetensors";
    link.click();
    URL.revokeObjectURL(link.href);
    say(`Saved ${bytes.length.toLocaleString("en")} bytes after ${state.digits.steps} steps.`);
});

$("load").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    try {
        take(new Uint8Array(await file.arrayBuffer()));
        state.losses = [];
        state.accuracies = [];
        await measure();
        show();
        await guess();
        say(`Loaded ${file.name}, saved after ${state.digits.steps} steps.`);
    } catch (error) {
        say(`${file.name}: ${error.message}`);
    }
    event.target.value = "";
});

document.querySelector("details").addEventListener("toggle", () => {
    try {
        $("kernels").textContent = state.digits.kernels();
    } catch (error) {
        $("kernels").textContent = error.message;
    }
});

new ResizeObserver(() => state.digits && show()).observe($("curve"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => state.digits && show());

showRate();
try {
    if (!navigator.gpu) throw new Error("There is no navigator.gpu in this page.");
    await init();
    await start();
    $("adapter").textContent = `Adapter: ${state.device.info}`;
    $("app").hidden = false;
    show();
    await guess();
} catch (error) {
    unsupported(error);
}
