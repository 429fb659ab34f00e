// A pad to draw a digit on, and its image of 8×8 pixels as the training data has them.

const SIDE = 8;
/** The grid of ink that is counted in blocks of 4×4, as for the training data. */
const FINE = 32;

export class Pad {
    constructor(canvas, seen, changed) {
        this.canvas = canvas;
        this.seen = seen;
        this.changed = changed;
        this.context = canvas.getContext("2d", { willReadFrequently: true });
        this.last = undefined;
        this.blank();
        canvas.addEventListener("pointerdown", (event) => {
            canvas.setPointerCapture(event.pointerId);
            this.last = this.at(event);
            this.line(event);
        });
        canvas.addEventListener("pointermove", (event) => this.last && this.line(event));
        for (const end of ["pointerup", "pointercancel"]) {
            canvas.addEventListener(end, () => {
                this.last = undefined;
            });
        }
    }

    at(event) {
        const box = this.canvas.getBoundingClientRect();
        const scale = this.canvas.width / box.width;
        return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    }

    line(event) {
        const to = this.at(event);
        const { context } = this;
        context.strokeStyle = "#000000";
        context.lineWidth = this.canvas.width / 10;
        context.lineCap = "round";
        context.beginPath();
        context.moveTo(...this.last);
        context.lineTo(...to);
        context.stroke();
        this.last = to;
        this.empty = false;
        this.show();
        this.changed();
    }

    clear() {
        this.blank();
        this.changed();
    }

    blank() {
        this.context.fillStyle = "#ffffff";
        this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
        this.empty = true;
        this.show();
    }

    /** The box around all ink: left, top, width and height. */
    box() {
        const { width, height } = this.canvas;
        const { data } = this.context.getImageData(0, 0, width, height);
        let [left, top, right, bottom] = [width, height, 0, 0];
        for (let y = 0; y < height; y += 2) {
            for (let x = 0; x < width; x += 2) {
                if (data[4 * (y * width + x)] < 128) {
                    left = Math.min(left, x);
                    right = Math.max(right, x + 2);
                    top = Math.min(top, y);
                    bottom = Math.max(bottom, y + 2);
                }
            }
        }
        return [left, top, Math.max(right - left, 1), Math.max(bottom - top, 1)];
    }

    /** Ink of 8×8 pixels from 0 to 1, of the digit at full size in the middle. */
    pixels() {
        const pixels = new Float32Array(SIDE * SIDE);
        if (this.empty) return pixels;
        const [left, top, width, height] = this.box();
        const scale = FINE / Math.max(width, height);
        const fine = new OffscreenCanvas(FINE, FINE).getContext("2d");
        fine.fillStyle = "#ffffff";
        fine.fillRect(0, 0, FINE, FINE);
        const [w, h] = [width * scale, height * scale];
        fine.drawImage(this.canvas, left, top, width, height, (FINE - w) / 2, (FINE - h) / 2, w, h);
        const { data } = fine.getImageData(0, 0, FINE, FINE);
        const block = FINE / SIDE;
        for (let y = 0; y < FINE; y += 1) {
            for (let x = 0; x < FINE; x += 1) {
                const ink = 1 - data[4 * (y * FINE + x)] / 255;
                pixels[Math.floor(y / block) * SIDE + Math.floor(x / block)] += ink / (block * block);
            }
        }
        return pixels;
    }

    show() {
        const context = this.seen.getContext("2d");
        const image = context.createImageData(SIDE, SIDE);
        for (const [i, ink] of this.pixels().entries()) {
            image.data.fill(255 * (1 - ink), 4 * i, 4 * i + 3);
            image.data[4 * i + 3] = 255;
        }
        context.putImageData(image, 0, 0);
    }
}
