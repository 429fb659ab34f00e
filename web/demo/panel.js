// A trainer on the page: runs, pauses, shows its curve, saves, loads, and keeps itself in the browser's storage.

import { drawCurve } from "./curve.js";
import { read, write } from "./storage.js";

/** Points of a curve above which every second one is dropped. */
const POINTS = 800;
/** Milliseconds that a chunk of steps is to take: short enough for a page that answers. */
const CHUNK = [100, 400];
/** Steps of a chunk at most. */
const STEPS = 32;
/** Milliseconds between two times that training is kept. */
const KEEP_EVERY = 2000;

export class Panel {
    /**
     * `root` holds a copy of the template `training`. `hooks` say what is trained:
     * `create(device)` and `load(device, bytes)` make a trainer, `rate` is the learning rate at the start, `figures(panel)` the texts of
     * the figures, `progress(trainer)` the share of the bar, `before(panel)` whether a new trainer is wanted at the start of a run,
     * `after(panel)` what is done after a chunk of steps, `changed(panel)` what is shown of another trainer.
     */
    constructor(root, key, hooks, app) {
        Object.assign(this, { root, key, hooks, app, running: false, chunk: 1, kept: 0, losses: [], accuracies: undefined, speed: 0 });
        const on = (name, event, action) => this.$(name).addEventListener(event, action);
        on("run", "click", () => (this.running ? this.pause() : this.run()));
        on("reset", "click", () => this.guarded(() => this.reset()));
        on("save", "click", () => this.guarded(() => this.save()));
        on("load", "change", (event) => this.guarded(() => this.open(event.target)));
        on("rate", "input", () => {
            this.showRate();
            if (this.trainer) this.trainer.rate = this.rate;
        });
        on("kernels", "toggle", () => this.explain());
        this.setRate(hooks.rate);
        new ResizeObserver(() => this.show()).observe(this.$("curve"));
    }

    $(name) {
        return this.root.querySelector(`.${name}`);
    }

    say(text) {
        this.$("message").textContent = text;
    }

    get rate() {
        return 10 ** Number(this.$("rate").value);
    }

    setRate(rate) {
        this.$("rate").value = Math.log10(rate);
        this.showRate();
    }

    showRate() {
        this.$("rate-value").textContent = this.rate.toPrecision(2);
    }

    /** The trainer that was kept, or a new one. */
    async start() {
        const kept = await read(this.key).catch(() => undefined);
        if (kept) {
            try {
                await this.take(this.hooks.load(this.app.device, kept.bytes), kept.losses, kept.accuracies);
                return;
            } catch (error) {
                this.say(`What was kept here cannot be read: ${error.message}`);
            }
        }
        await this.fresh();
    }

    /** A trainer with random weights. */
    async fresh() {
        const trainer = this.hooks.create(this.app.device);
        trainer.rate = this.rate;
        await this.take(trainer);
    }

    async take(trainer, losses = [], accuracies = undefined) {
        this.trainer?.free();
        Object.assign(this, { trainer, losses, accuracies, chunk: 1, kept: 0, speed: 0 });
        this.setRate(trainer.rate);
        await this.hooks.changed?.(this);
        await this.mark();
        this.show();
        this.explain();
    }

    async reset() {
        this.pause(false);
        await this.idle;
        await write(this.key, undefined).catch(() => undefined);
        await this.fresh();
        this.say("The weights are random again.");
    }

    run() {
        this.running = true;
        this.$("run").textContent = "Pause";
        this.say("");
        this.idle = this.loop();
    }

    /** Ends after the chunk that is under way; `keep` puts what was learnt into the browser's storage. */
    pause(keep = true) {
        if (!this.running) return;
        this.running = false;
        this.$("run").textContent = "Train";
        if (keep) this.idle = this.idle.then(() => this.guarded(() => this.keep(true)));
    }

    async loop() {
        try {
            if (await this.hooks.before?.(this)) await this.fresh();
        } catch (error) {
            this.fail(error);
            return;
        }
        while (this.running) {
            try {
                await this.step();
                this.show();
                await this.hooks.after?.(this);
            } catch (error) {
                if (error.name !== "DeviceLost") {
                    this.fail(error);
                    return;
                }
                // After that the trainer is another one, of the moment that was kept last.
                this.say("The GPU was lost; going on from what was kept last.");
                await this.app.reopen();
            }
            // The page draws, and answers the visitor.
            await new Promise((resolve) => (document.hidden ? setTimeout(resolve) : requestAnimationFrame(resolve)));
        }
    }

    fail(error) {
        this.pause(false);
        this.say(`${error.name}: ${error.message}`);
    }

    async guarded(action) {
        try {
            await action();
        } catch (error) {
            this.say(`${error.name}: ${error.message}`);
        }
    }

    /** A chunk of steps. How many it has makes no difference to what is learnt. */
    async step() {
        const { trainer, chunk } = this;
        const start = performance.now();
        const loss = await trainer.train(chunk);
        const milliseconds = performance.now() - start;
        if (milliseconds < CHUNK[0]) this.chunk = Math.min(2 * chunk, STEPS);
        if (milliseconds > CHUNK[1]) this.chunk = Math.max(1, chunk >> 1);
        const speed = (chunk * trainer.batchSize * 1000) / milliseconds;
        this.speed = this.speed > 0 ? 0.8 * this.speed + 0.2 * speed : speed;
        this.losses.push({ step: trainer.steps, value: loss });
        if (this.losses.length > POINTS) this.losses = this.losses.filter((_, i) => i % 2 === 1);
    }

    show() {
        const { trainer, hooks } = this;
        if (!trainer) return;
        for (const [i, text] of hooks.figures(this).entries()) this.root.querySelectorAll(".figures dd")[i].textContent = text;
        this.$("progress").value = hooks.progress(trainer);
        if (this.$("curve").clientWidth > 0) drawCurve(this.$("curve"), this.losses, this.accuracies);
    }

    explain() {
        if (!this.trainer || !this.$("kernels").open) return;
        try {
            this.$("kernel-list").textContent = this.trainer.kernels();
        } catch (error) {
            this.$("kernel-list").textContent = error.message;
        }
    }

    /** Shows the count of steps and the hash of the weights. */
    async mark() {
        this.$("hash").textContent = `Weights after ${this.trainer.steps} steps: ${await this.trainer.hash()}`;
    }

    /** Puts everything into the browser's storage; now and then, or `aloud`. */
    async keep(aloud = false) {
        if (!aloud && performance.now() - this.kept < KEEP_EVERY) return;
        this.kept = performance.now();
        const bytes = await this.trainer.save();
        await this.mark();
        try {
            await write(this.key, { bytes, losses: this.losses, accuracies: this.accuracies });
            if (aloud) this.say(`Kept in this browser after ${this.trainer.steps} steps.`);
        } catch {
            // A browser that keeps nothing, as in a private window, still trains.
            if (aloud) this.say("This browser keeps nothing; save to a file.");
        }
    }

    async save() {
        const bytes = await this.trainer.save();
        const link = document.createElement("a");
        link.href = URL.createObjectURL(new Blob([bytes]));
        link.download = `${this.key}.safetensors`;
        link.click();
        URL.revokeObjectURL(link.href);
        this.say(`Saved ${bytes.length.toLocaleString("en")} bytes after ${this.trainer.steps} steps.`);
    }

    async open(input) {
        const [file] = input.files;
        if (!file) return;
        this.pause(false);
        await this.idle;
        try {
            await this.take(this.hooks.load(this.app.device, new Uint8Array(await file.arrayBuffer())));
            this.say(`Loaded ${file.name}, saved after ${this.trainer.steps} steps.`);
        } catch (error) {
            this.say(`${file.name}: ${error.message}`);
        } finally {
            input.value = "";
        }
    }
}
