// A server of static files and a headless Chromium with its software adapter for WebGPU.

import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

import { chromium } from "playwright-core";

const TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".safetensors": "application/octet-stream",
};

/** Serves a folder on a port of this machine, by default a free one; secure enough for WebGPU. `aliases` are other folders by the beginnings of paths. */
export async function serve(root, { port = 0, aliases = {} } = {}) {
    const server = createServer((request, response) => {
        const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
        const alias = Object.keys(aliases).find((start) => path.startsWith(start));
        const folder = alias ? aliases[alias] : root;
        let file = join(folder, alias ? path.slice(alias.length) : path);
        if (existsSync(file) && statSync(file).isDirectory()) file = join(file, "index.html");
        if (!file.startsWith(folder) || !existsSync(file)) {
            response.writeHead(404).end();
            return;
        }
        response.writeHead(200, {
            "content-type": TYPES[extname(file)] ?? "application/octet-stream",
            "content-length": statSync(file).size,
        });
        createReadStream(file).pipe(response);
    });
    await new Promise((resolve) => server.listen(port, "localhost", resolve));
    return { url: `http://localhost:${server.address().port}`, close: () => server.close() };
}

/** Where the browser is, by the environment or by name. */
function executable() {
    const names = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    const found = process.env.CHROMIUM || names.find(existsSync);
    if (!found) throw new Error("no Chromium was found; install it (apt-get install chromium), or name it in CHROMIUM");
    return found;
}

/** Starts a headless Chromium, with `more` flags. */
export function launch(more = []) {
    const args = [...more, "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
    return chromium.launch({ executablePath: executable(), args });
}
