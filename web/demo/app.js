// The demo page: trains on the GPU, or on the CPU where there is none, while the visitor watches.

import { digits } from "./digits.js";
import { adapterName, machine } from "./machine.js";
import { writer } from "./writer.js";
import init, { Device } from "./pkg/wgrad_web.js";

const $ = (id) => document.getElementById(id);

const app = {
    device: undefined,
    panels: [],
    reopening: undefined,
    /** After the GPU was lost: opens it again, and every panel goes on from what it kept last. */
    reopen() {
        this.reopening ??= (async () => {
            this.device = await open();
            for (const panel of this.panels) await panel.start();
            this.reopening = undefined;
        })();
        return this.reopening;
    },
};

/** The GPU; without one the CPU, and the page says why. */
async function open() {
    try {
        if (!navigator.gpu) throw new Error("This page finds no navigator.gpu.");
        return await Device.open();
    } catch (error) {
        $("reason").textContent = error.message;
        $("unsupported").hidden = false;
        return Device.cpu();
    }
}

function choose(name) {
    for (const tab of document.querySelectorAll("[role=tab]")) {
        const chosen = tab.dataset.panel === name;
        tab.setAttribute("aria-selected", String(chosen));
        tab.tabIndex = chosen ? 0 : -1;
        $(tab.dataset.panel).hidden = !chosen;
    }
    for (const panel of app.panels) panel.show();
}

const tabs = [...document.querySelectorAll("[role=tab]")];
for (const [i, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab.dataset.panel));
    tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const next = tabs[(i + step + tabs.length) % tabs.length];
        next.focus();
        choose(next.dataset.panel);
    });
}
for (const training of document.querySelectorAll(".training")) {
    const copy = $("training").content.cloneNode(true);
    for (const [i, name] of training.dataset.figures.split("|").entries()) copy.querySelectorAll("dt")[i].textContent = name;
    copy.querySelector(".key.loss").textContent = training.dataset.loss;
    copy.querySelector(".key.accuracy").textContent = training.dataset.accuracy ?? "";
    copy.querySelector(".key.accuracy").hidden = !training.dataset.accuracy;
    training.append(copy);
}
for (const keeping of document.querySelectorAll(".keeping")) keeping.append($("keeping").content.cloneNode(true));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.panels.forEach((panel) => panel.show()));

try {
    const [text] = await Promise.all([fetch("pkg/harbour.txt").then((answer) => answer.text()), init()]);
    app.device = await open();
    $("adapter").textContent = `Running on ${await adapterName(app.device)}`;
    $("app").hidden = false;
    app.panels = [digits($("digits"), app), writer($("writer"), app, text)];
    for (const panel of app.panels) await panel.start();
    $("machine").replaceChildren(...(await machine(app.device)));
    document.body.dataset.ready = "yes";
} catch (error) {
    $("adapter").textContent = `The page cannot start: ${error.message}`;
}
