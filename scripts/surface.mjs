// The public surface of the library, from its documentation: every item and every method of a type, one per line.
//
//     node scripts/surface.mjs target/doc/wgrad docs/public-surface.txt             compares; a difference is a failure
//     node scripts/surface.mjs target/doc/wgrad docs/public-surface.txt --bless     writes the list
//
// `cargo doc --no-deps --features train` makes the documentation.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [docs, list, option] = process.argv.slice(2);
if (!list) {
    console.error("usage: node scripts/surface.mjs DOCS LIST [--bless]");
    process.exit(2);
}
const all = readFileSync(join(docs, "all.html"), "utf8");
const lines = [];
for (const [, href, name] of all.matchAll(/<a href="([^"#]+\.html)">([^<]+)<\/a>/g)) {
    const kind = href.split("/").pop().split(".")[0];
    if (kind === "index") continue;
    lines.push(`${kind} ${name}`);
    if (!["struct", "enum", "trait", "union"].includes(kind)) continue;
    const page = readFileSync(join(docs, href), "utf8");
    // Methods of the type's own; those of traits that it implements have the class `trait-impl`.
    for (const [, id] of page.matchAll(/<section id="((?:ty)?method\.[^"]+)" class="method">/g)) {
        // A second method of the same name, in another `impl`, has a number behind it.
        lines.push(`${kind} ${name}::${id.split(".")[1].replace(/-\d+$/, "")}`);
    }
    for (const [, part, id] of page.matchAll(/<(?:span|section) id="(structfield|variant)\.([^".]+)"/g)) {
        lines.push(`${kind} ${name} ${part === "variant" ? "variant" : "field"} ${id}`);
    }
}
if (lines.length < 500) {
    console.error(`only ${lines.length} lines were found in ${docs}: has the form of rustdoc's pages changed?`);
    process.exit(1);
}
lines.sort();
const text = lines.join("\n") + "\n";
if (option === "--bless") {
    writeFileSync(list, text);
} else {
    const stored = new Set(readFileSync(list, "utf8").trim().split("\n"));
    const found = new Set(lines);
    const gone = [...stored].filter((line) => !found.has(line));
    const added = [...found].filter((line) => !stored.has(line));
    gone.forEach((line) => console.error(`- ${line}`));
    added.forEach((line) => console.error(`+ ${line}`));
    if (gone.length + added.length > 0) {
        console.error(`The public surface is not that of ${list}. Where the change is meant, write the list anew with --bless.`);
        process.exit(1);
    }
}
console.log(`${lines.length} public items, methods, fields and variants`);
