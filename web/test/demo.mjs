// The demo page, clicked through as a visitor would. Screenshots go to the folder `out`.

import { readFileSync } from "node:fs";
import { join } from "node:path";

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };

function check(holds, text) {
    if (!holds) throw new Error(text);
}

/** A visitor: a browser context with the page open, whose errors are kept. */
async function visit(browser, url, { viewport = DESKTOP, colorScheme = "light", before } = {}) {
    const context = await browser.newContext({ viewport, colorScheme, acceptDownloads: true });
    const page = await context.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(`${error}`));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    if (before) await page.addInitScript(before);
    const open = async () => {
        await page.goto(`${url}/web/demo/`);
        await page.waitForSelector("body[data-ready=yes]", { timeout: 60_000 });
    };
    await open();
    return { page, errors, open, close: () => context.close() };
}

/** The text of an element. */
const text = (page, selector) => page.locator(selector).innerText();

/** Waits until the text of an element passes. */
async function until(page, selector, passes, seconds, what) {
    const end = Date.now() + 1000 * seconds;
    let last;
    while (Date.now() < end) {
        last = await text(page, selector);
        if (passes(last)) return last;
        await page.waitForTimeout(100);
    }
    throw new Error(`${what}: ${selector} is ${JSON.stringify(last)} after ${seconds} s`);
}

const figure = (panel, i) => `#${panel} .figures div:nth-child(${i}) dd`;

/** Nothing is wider than the window. */
async function fits(page) {
    const [page_width, window_width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    check(page_width <= window_width, `the page is ${page_width} wide in a window of ${window_width}`);
}

/** Draws a line on the pad through points in parts of its size. */
async function draw(page, points) {
    await page.locator(".pad-canvas").scrollIntoViewIfNeeded();
    const box = await page.locator(".pad-canvas").boundingBox();
    const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
    await page.mouse.move(...at(points[0]));
    await page.mouse.down();
    for (const point of points.slice(1)) await page.mouse.move(...at(point), { steps: 4 });
    await page.mouse.up();
}

const shares = (page) => page.locator(".bars .share").allInnerTexts();

async function shot(page, out, name) {
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: join(out, `demo-${name}.png`), fullPage: true });
}

/** Saves to a file by the button, and returns its path. */
async function download(page, panel) {
    const [file] = await Promise.all([page.waitForEvent("download"), page.click(`#${panel} .save`)]);
    return { path: await file.path(), name: file.suggestedFilename() };
}

export const demoTests = {
    async "demo: digits are learnt while the visitor draws"(browser, url, out) {
        // How long a visitor waits who clicks at once: from the start of the navigation to the first loss.
        const before = () => {
            const watch = setInterval(() => {
                if (document.body?.dataset.ready !== "yes") return;
                window.readyAt ??= performance.now();
                const run = document.querySelector("#digits .run");
                if (run.textContent === "Train") run.click();
                if (document.querySelector("#digits .figures div:nth-child(2) dd").textContent === "–") return;
                window.firstLoss = performance.now();
                clearInterval(watch);
            }, 5);
        };
        const visitor = await visit(browser, url, { before });
        const { page } = visitor;
        await page.waitForFunction(() => window.firstLoss);
        const [ready, first] = await page.evaluate(() => [window.readyAt, window.firstLoss]);
        check((await text(page, "#adapter")).includes("webgpu"), await text(page, "#adapter"));
        await draw(page, [[0.3, 0.2], [0.7, 0.2], [0.5, 0.5], [0.4, 0.85]]);
        // The probabilities change while the visitor does nothing.
        const [seen, bars] = [new Set(), new Set()];
        for (let i = 0; i < 20; i += 1) {
            seen.add((await shares(page)).join());
            bars.add(await page.locator("#digits .progress").evaluate((bar) => bar.value));
            await page.waitForTimeout(100);
        }
        check(seen.size >= 3, `the probabilities were ${[...seen].join("; ")}`);
        check(bars.size >= 3, `the bar was at ${[...bars]}`);
        const sum = (await shares(page)).reduce((sum, share) => sum + Number.parseFloat(share), 0);
        check(Math.abs(sum - 100) < 1, `the probabilities add up to ${sum}`);
        // The learning rate, while it runs.
        await page.locator("#digits .rate").fill("-2.3");
        check((await text(page, "#digits .rate-value")) === "0.0050", await text(page, "#digits .rate-value"));
        const accuracy = await until(page, figure("digits", 3), (t) => Number.parseFloat(t) >= 93, 90, "it learns");
        check(Number(await text(page, figure("digits", 1))) >= 1, "no epoch is over");
        check((await text(page, figure("digits", 4))).match(/^[\d,]+$/), "no speed is shown");
        // Pause keeps it; nothing moves after that.
        await page.click("#digits .run");
        await until(page, "#digits .message", (t) => t.startsWith("Kept in this browser after"), 30, "pause keeps");
        const hash = await text(page, "#digits .hash");
        await page.waitForTimeout(500);
        check((await text(page, "#digits .hash")) === hash, "it trains in the pause");
        await page.click("#digits .kernels summary");
        const kernels = await text(page, "#digits .kernel-list");
        check(kernels.includes("matmul") || kernels.includes("linear"), kernels.slice(0, 200));
        await shot(page, out, "digits-desktop-light");
        check(visitor.errors.length === 0, visitor.errors.join("; "));
        await visitor.close();
        return `${accuracy}; page ready after ${ready.toFixed(0)} ms, first step after ${first.toFixed(0)} ms`;
    },

    async "demo: a reload, a file and a reset go on from the same bits"(browser, url, out) {
        const visitor = await visit(browser, url, { colorScheme: "dark", viewport: PHONE });
        const { page } = visitor;
        const fresh = await text(page, "#digits .hash");
        await page.click("#digits .run");
        await until(page, figure("digits", 1), (t) => Number(t) >= 1, 60, "an epoch");
        await page.click("#digits .run");
        await until(page, "#digits .message", (t) => t.startsWith("Kept"), 30, "pause keeps");
        const hash = await text(page, "#digits .hash");
        check(hash !== fresh && /after \d+ steps: [0-9a-f]{16}$/.test(hash), `${fresh}, then ${hash}`);
        await visitor.open();
        check((await text(page, "#digits .hash")) === hash, `${await text(page, "#digits .hash")} after a reload, ${hash} before`);
        await draw(page, [[0.5, 0.1], [0.5, 0.9]]);
        await page.waitForFunction(() => document.querySelector(".bars .best"));
        await fits(page);
        await shot(page, out, "digits-phone-dark");
        const file = await download(page, "digits");
        check(file.name === "digits.safetensors", file.name);
        const bytes = readFileSync(file.path);
        await page.click("#digits .reset");
        await until(page, "#digits .hash", (t) => t === fresh, 30, "a reset has the weights of the start");
        await visitor.open();
        check((await text(page, "#digits .hash")) === fresh, "a reset is forgotten at the reload");
        await page.locator("#digits .load").setInputFiles({ name: "digits.safetensors", mimeType: "application/octet-stream", buffer: bytes });
        await until(page, "#digits .message", (t) => t.startsWith("Loaded digits.safetensors"), 30, "the file is loaded");
        check((await text(page, "#digits .hash")) === hash, "the file has other weights");
        // A file that is none, and one of the other panel, are said to be so, and change nothing.
        await page.locator("#digits .load").setInputFiles({ name: "cat.png", mimeType: "image/png", buffer: Buffer.from("no weights") });
        await until(page, "#digits .message", (t) => t.startsWith("cat.png: "), 30, "a wrong file");
        check((await text(page, "#digits .hash")) === hash, "a wrong file changes the weights");
        check(visitor.errors.length === 0, visitor.errors.join("; "));
        await visitor.close();
        return hash;
    },

    async "demo: a pasted text is learnt, and written on"(browser, url, out) {
        const visitor = await visit(browser, url, { colorScheme: "dark" });
        const { page } = visitor;
        await page.click("#tab-writer");
        const own = "the cat sat on the mat. the dog sat on the log. ".repeat(20);
        await page.locator("#writer .source").fill(own);
        await page.locator("#writer .beginning").fill("the ");
        await page.click("#writer .run");
        const loss = await until(page, figure("writer", 2), (t) => Number.parseFloat(t) < 0.7, 180, "the loss falls");
        await page.waitForSelector("#writer .samples blockquote", { timeout: 60_000 });
        await page.click("#writer .run");
        await until(page, "#writer .message", (t) => t.startsWith("Kept"), 60, "pause keeps");
        const samples = await page.locator("#writer .samples li").count();
        await page.click("#writer .write");
        await page.waitForFunction((n) => document.querySelectorAll("#writer .samples li").length > n, samples, { timeout: 60_000 });
        const sample = await page.locator("#writer .samples blockquote").first().innerText();
        check(sample.startsWith("the ") && sample.length > 100, `a sample is ${JSON.stringify(sample)}`);
        check([...sample].every((c) => own.includes(c)), `a sample has other characters: ${sample}`);
        const words = sample.split(/[ .]+/).filter(Boolean);
        const known = words.filter((word) => own.split(/[ .]+/).includes(word));
        check(known.length > 0.4 * words.length, `nothing was learnt: ${sample}`);
        await shot(page, out, "writer-desktop-dark");
        await page.setViewportSize(PHONE);
        await page.emulateMedia({ colorScheme: "light" });
        await fits(page);
        await shot(page, out, "writer-phone-light");
        const hash = await text(page, "#writer .hash");
        await visitor.open();
        await page.click("#tab-writer");
        check((await text(page, "#writer .hash")) === hash, "a reload has other weights");
        check((await page.locator("#writer .source").inputValue()) === own, "a reload has another text");
        const file = await download(page, "writer");
        await page.click("#writer .reset");
        await until(page, "#writer .hash", (t) => t !== hash, 30, "a reset has other weights");
        await page.locator("#writer .load").setInputFiles(file.path);
        await until(page, "#writer .hash", (t) => t === hash, 30, "the file has the weights");
        // A text that is too short is an error in words.
        await page.locator("#writer .source").fill("short");
        await page.click("#writer .run");
        await until(page, "#writer .message", (t) => t.includes("characters"), 30, "a short text");
        check((await text(page, "#writer .run")) === "Train", "it trains on a short text");
        check(visitor.errors.length === 0, visitor.errors.join("; "));
        await visitor.close();
        return `loss ${loss}; ${JSON.stringify(sample.slice(0, 60))}`;
    },

    async "demo: a lost GPU is opened again, and training goes on"(browser, url) {
        const before = () => {
            const request = GPUAdapter.prototype.requestDevice;
            GPUAdapter.prototype.requestDevice = async function (...args) {
                window.opened = await request.apply(this, args);
                return window.opened;
            };
        };
        const visitor = await visit(browser, url, { before });
        const { page } = visitor;
        await page.click("#digits .run");
        await until(page, figure("digits", 1), (t) => Number(t) >= 2, 60, "two epochs");
        await page.evaluate(() => window.opened.destroy());
        await until(page, "#digits .message", (t) => t.includes("The GPU was lost"), 30, "the loss is said");
        const epoch = Number(await text(page, figure("digits", 1)));
        check(epoch >= 1, `it begins anew, at epoch ${epoch}`);
        await until(page, figure("digits", 1), (t) => Number(t) > epoch + 1, 60, "training goes on");
        check((await text(page, "#digits .run")) === "Pause", "it does not run");
        await visitor.close();
        return `from epoch ${epoch}`;
    },

    async "demo: without WebGPU the CPU trains, and the page says so"(browser, url, out) {
        const before = () => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined });
        const visitor = await visit(browser, url, { before, viewport: PHONE });
        const { page } = visitor;
        check(await page.locator("#unsupported").isVisible(), "there is no notice");
        check((await text(page, "#reason")).includes("navigator.gpu"), await text(page, "#reason"));
        check((await text(page, "#adapter")).includes("CPU"), await text(page, "#adapter"));
        check((await text(page, "#machine")).includes("everything runs on the CPU"), await text(page, "#machine"));
        await page.click("#digits .run");
        await until(page, figure("digits", 3), (t) => Number.parseFloat(t) > 80, 120, "it learns on the CPU");
        await page.click("#digits .run");
        await until(page, "#digits .message", (t) => t.startsWith("Kept"), 30, "pause keeps");
        await fits(page);
        await shot(page, out, "no-webgpu-phone-light");
        check(visitor.errors.length === 0, visitor.errors.join("; "));
        await visitor.close();
        return "trained on the CPU reference";
    },
};
