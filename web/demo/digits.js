// The digits: a network that learns to read them while the visitor draws one.

import { Pad } from "./pad.js";
import { Panel } from "./panel.js";
import { Digits } from "./pkg/wgrad_web.js";

const SEED = 0;

export function digits(root, app) {
    const bars = root.querySelector(".bars");
    for (let digit = 0; digit < 10; digit += 1) {
        const item = document.createElement("li");
        item.innerHTML = `<span>${digit}</span><div class="track"><div class="bar"></div></div><span class="share"></span>`;
        bars.append(item);
    }

    /** The probabilities for what is on the pad, by the weights of now. */
    async function guess() {
        const probabilities = pad.empty ? new Float32Array(10) : await panel.trainer.probabilities(pad.pixels());
        const best = pad.empty ? -1 : probabilities.indexOf(Math.max(...probabilities));
        for (const [i, item] of [...bars.children].entries()) {
            item.classList.toggle("best", i === best);
            item.querySelector(".bar").style.transform = `scaleX(${probabilities[i]})`;
            item.querySelector(".share").textContent = pad.empty ? "" : `${(100 * probabilities[i]).toFixed(1)} %`;
        }
    }

    async function measure(panel) {
        panel.accuracies ??= [];
        panel.accuracies.push({ step: panel.trainer.steps, value: await panel.trainer.accuracy() });
    }

    /** The epoch whose accuracy was measured last. */
    let measured = 0;
    const hooks = {
        rate: 2e-3,
        create: (device) => new Digits(device, SEED),
        load(device, bytes) {
            const trainer = new Digits(device, SEED);
            trainer.load(bytes);
            return trainer;
        },
        figures({ trainer, losses, accuracies, speed }) {
            return [
                String(Math.floor(trainer.steps / trainer.stepsPerEpoch)),
                losses.length > 0 ? losses.at(-1).value.toPrecision(3) : "–",
                accuracies ? `${(100 * accuracies.at(-1).value).toFixed(1)} %` : "–",
                speed > 0 ? Math.round(speed).toLocaleString("en") : "–",
            ];
        },
        progress: (trainer) => (trainer.steps % trainer.stepsPerEpoch) / trainer.stepsPerEpoch,
        async after(panel) {
            const epoch = Math.floor(panel.trainer.steps / panel.trainer.stepsPerEpoch);
            if (epoch > measured) {
                measured = epoch;
                await measure(panel);
                await panel.keep();
                panel.show();
            }
            await guess();
        },
        async changed(panel) {
            measured = Math.floor(panel.trainer.steps / panel.trainer.stepsPerEpoch);
            if (panel.trainer.steps > 0 && !panel.accuracies) await measure(panel);
            await guess();
        },
    };
    const panel = new Panel(root, "digits", hooks, app);
    const pad = new Pad(root.querySelector(".pad-canvas"), root.querySelector(".seen-canvas"), () => {
        // While it trains, the next look is near.
        if (!panel.running && panel.trainer) panel.guarded(guess);
    });
    root.querySelector(".clear").addEventListener("click", () => pad.clear());
    return panel;
}
