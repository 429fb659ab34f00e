// The curves of loss and accuracy.

/** Draws points of `{ step, value }`: losses on a logarithmic scale, and accuracies, where there are any, from 0 to 1. */
export function drawCurve(canvas, losses, accuracies) {
    const ratio = devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name);
    const [left, right, top, bottom] = [34, width - (accuracies ? 44 : 8), 8, height - 18];
    const steps = Math.max(1, losses.at(-1)?.step ?? 1, accuracies?.at(-1)?.step ?? 1);
    const x = (step) => left + ((right - left) * step) / steps;
    // Whole powers of ten around the losses.
    const values = losses.map(({ value }) => Math.max(value, 1e-6));
    const low = Math.floor(Math.log10(Math.min(0.1, ...values)));
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(3, ...values))));
    const y = (part) => bottom - (bottom - top) * part;
    const ofLoss = (value) => y((Math.log10(Math.max(value, 1e-6)) - low) / (high - low));

    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    context.strokeStyle = color("--line");
    context.fillStyle = color("--soft");
    context.textBaseline = "middle";
    for (let power = low; power <= high; power += 1) {
        context.beginPath();
        context.moveTo(left, ofLoss(10 ** power));
        context.lineTo(right, ofLoss(10 ** power));
        context.stroke();
        context.textAlign = "right";
        context.fillText(String(10 ** power), left - 5, ofLoss(10 ** power));
    }
    context.textAlign = "left";
    if (accuracies) for (const part of [0, 0.5, 1]) context.fillText(`${100 * part} %`, right + 4, y(part));
    context.textAlign = "right";
    context.textBaseline = "alphabetic";
    context.fillText(`${steps} steps`, right, height - 4);

    const line = (points, place, name) => {
        context.strokeStyle = color(name);
        context.lineWidth = 2;
        context.lineJoin = "round";
        context.beginPath();
        for (const { step, value } of points) context.lineTo(x(step), place(value));
        context.stroke();
    };
    line(losses, ofLoss, "--accent");
    if (accuracies) line(accuracies, y, "--second");
}
