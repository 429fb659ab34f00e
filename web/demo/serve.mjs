// Serves the demo page.

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import { serve } from "../test/browser.mjs";

const { url } = await serve(dirname(fileURLToPath(import.meta.url)), { port: Number(process.env.PORT ?? 8080) });
console.log(`the demo is at ${url}`);
