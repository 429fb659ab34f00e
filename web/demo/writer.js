// The writer: a small GPT that learns the visitor's text and writes on.

import { Panel } from "./panel.js";
import { Writer } from "./pkg/wgrad_web.js";

const SEED = 0;
/** Steps between two samples, and the characters of one. */
const SAMPLE_EVERY = 32;
const LENGTH = 160;
/** Samples that are shown. */
const SHOWN = 5;

export function writer(root, app, text) {
    const source = root.querySelector(".source");
    const samples = root.querySelector(".samples");
    const beginning = root.querySelector(".beginning");
    source.value = text;
    let drawn = 0;
    let sampled = 0;

    function describe() {
        const { trainer } = panel;
        const characters = trainer.text.length.toLocaleString("en");
        root.querySelector(".described").textContent =
            `${characters} characters, ${trainer.vocabulary} different ones; a network of ${trainer.parameters.toLocaleString("en")} numbers.`;
    }

    async function sample() {
        drawn += 1;
        const { trainer } = panel;
        const { steps } = trainer;
        const written = await trainer.write(beginning.value, LENGTH, drawn);
        const item = document.createElement("li");
        const after = document.createElement("span");
        after.textContent = `after ${steps} steps`;
        const words = document.createElement("blockquote");
        words.textContent = written;
        item.append(after, words);
        samples.prepend(item);
        while (samples.children.length > SHOWN) samples.lastChild.remove();
    }

    const hooks = {
        rate: 3e-3,
        create: (device) => new Writer(device, source.value, SEED),
        load: (device, bytes) => Writer.load(device, bytes),
        figures({ trainer, losses, speed }) {
            const loss = losses.at(-1)?.value;
            return [
                String(trainer.steps),
                loss === undefined ? "–" : loss.toPrecision(3),
                loss === undefined ? "–" : (loss / Math.LN2).toFixed(2),
                speed > 0 ? Math.round(speed).toLocaleString("en") : "–",
            ];
        },
        progress: (trainer) => (trainer.steps % SAMPLE_EVERY) / SAMPLE_EVERY,
        /** Whether another text is to be learnt, by a new network. */
        before: (panel) => source.value !== panel.trainer.text,
        async after(panel) {
            if (panel.trainer.steps - sampled < SAMPLE_EVERY) return;
            sampled = panel.trainer.steps;
            await sample();
            await panel.keep();
        },
        changed({ trainer }) {
            source.value = trainer.text;
            sampled = trainer.steps;
            samples.replaceChildren();
            describe();
        },
    };
    const panel = new Panel(root, "writer", hooks, app);
    root.querySelector(".write").addEventListener("click", () => {
        // Between two chunks of training nothing else runs; while it trains, the next sample is near.
        if (!panel.running) panel.guarded(sample);
    });
    return panel;
}
