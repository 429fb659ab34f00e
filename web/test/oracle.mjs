// The cases of tests/oracle, against PyTorch, in the page.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Seconds that the cases of one op may take. */
const LIMIT = 120;

/** Loads the cases in the page: all files, and of each op `share` cases. */
async function prepare(page, url, share) {
    await page.goto(`${url}/web/test/page.html`);
    await page.waitForFunction(() => window.wgrad);
    return page.evaluate(async (share) => {
        const folder = "/tests/oracle/fixtures";
        const index = await (await fetch(`${folder}/index.jsonl`)).text();
        const names = [...new Set(index.trim().split("\n").map((line) => JSON.parse(line).area))];
        const file = async (name) => new Uint8Array(await (await fetch(`${folder}/${name}.safetensors`)).arrayBuffer());
        window.oracle = new wgrad.Oracle(index, names, await Promise.all(names.map(file)), share);
        window.device = await wgrad.Device.open();
        window.half = wgrad.hasHalf(window.device);
        return { ops: window.oracle.ops, half: window.half };
    }, share);
}

/**
 * WGSL lets an implementation take numbers below the smallest normal f32 as 0, as inputs and as results of any operation ("Floating point
 * evaluation"), and SwiftShader does. Misses that come of that are counted apart.
 */
const SMALLEST_NORMAL = 1.1754943508222875e-38;

/** Cases with such an input, or such a number on the way, and the element that is then the worst. */
const SUBNORMAL = new Map([
    // The input is 1e-40 or -1e-40.
    ["ceil/10", 5],
    ["floor/10", 6],
    ["log/10", 6],
    ["log2/10", 6],
    ["log10/10", 6],
    ["rsqrt/10", 6],
    ["sign/10", 6],
    ["sqrt/10", 6],
    ["to_dtype/2", 7],
    // At -2e-38, half of the input is one; at -88, the sigmoid is.
    ["asinh/10", 8],
    ["log1p/10", 8],
    ["mish/10", 21],
    ["silu/10", 21],
]);

/** Whether a miss is about nothing but such numbers. */
function isFlushed(miss) {
    const [, id, element, found, expected] = /^(\S+) .* element (\d+) is (\S+) instead of (\S+)$/.exec(miss) ?? [];
    if (id === undefined) return false;
    if (SUBNORMAL.get(id) === Number(element)) return true;
    const exact = miss.includes(" allowed 0e0;");
    return exact && Math.abs(found) < SMALLEST_NORMAL && Math.abs(expected) < SMALLEST_NORMAL;
}

/** Families of ops: the area in which an op has its first f32 case. */
function families(fixtures) {
    const found = new Map();
    for (const line of readFileSync(join(fixtures, "index.jsonl"), "utf8").trim().split("\n")) {
        const { op, area } = JSON.parse(line);
        if (!found.has(op) || found.get(op) === "half") found.set(op, area);
    }
    return found;
}

/** Runs the cases; writes the table `oracle.md` and returns the misses and the counts. */
export async function oracle(page, url, root, share, out, within) {
    let { ops, half } = await prepare(page, url, share);
    const family = families(join(root, "tests/oracle/fixtures"));
    const rows = new Map();
    const misses = [];
    for (const op of ops) {
        const run = page.evaluate((op) => window.oracle.run(op, window.half, window.device), op);
        const [cases, backward, differ] = await within(LIMIT, op, run).catch((error) => [1, 0, [`${op}: ${error.message}`]]);
        const missed = differ.filter((miss) => !isFlushed(miss));
        const row = rows.get(family.get(op)) ?? { ops: 0, cases: 0, backward: 0, flushed: 0, failures: 0 };
        rows.set(family.get(op), row);
        row.ops += 1;
        row.cases += cases;
        row.backward += backward;
        row.flushed += differ.length - missed.length;
        row.failures += missed.length;
        misses.push(...missed);
        // A device that was lost, or a module that stopped, must not spoil what comes after.
        if (missed.length > 0) await prepare(page, url, share);
    }
    const total = { ops: 0, cases: 0, backward: 0, flushed: 0, failures: 0 };
    for (const row of rows.values()) for (const key of Object.keys(total)) total[key] += row[key];
    const line = (name, row) => `| ${name} | ${row.ops} | ${row.cases} | ${row.backward} | ${row.flushed} | ${row.failures} |`;
    const table = [
        "| family | ops | cases | of them backward | flushed | failures |",
        "|---|---:|---:|---:|---:|---:|",
        ...[...rows].sort().map(([name, row]) => line(name.replaceAll("_", " "), row)),
        line("all", total),
    ];
    writeFileSync(join(out, "oracle.md"), `${table.join("\n")}\n`);
    return { table, misses, total, half };
}
