// Looks at every screen of the built page in Chromium, light and dark, wide and narrow, and then uses it as a person
// with a keyboard would. `--shots DIR` writes pictures of the screens that are kept in docs/screens, with `--all` of
// every one, and does nothing else. `--only WORDS` takes the scenes and behaviours whose name has those words.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { behaviours } from "./behaviours.mjs";
import { chromiumPath, startBrowser } from "./browser.mjs";
import { looksWrong } from "./looks.mjs";
import { scenes, sizes, themes } from "./scenes.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const chromium = chromiumPath();
if (chromium === null) {
  console.error("skipped: no Chromium is installed (Debian's package is chromium)");
  process.exit(0);
}

const shotsAt = process.argv.indexOf("--shots");
const shots = shotsAt === -1 ? null : process.argv[shotsAt + 1];
if (shotsAt !== -1 && shots === undefined) throw new Error("--shots wants a directory");
const all = shots === null || process.argv.includes("--all");
const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : "";

const browser = await startBrowser(chromium);
const failures = [];

/** One page goes through all scenes at one size and in one theme. */
async function lookThrough(theme, size) {
  const { page, complaints } = await browser.open(`still&theme=${theme}`, {
    ...size,
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "UTC",
  });
  // The same pictures on every day, so that only what changed changes.
  await page.clock.setFixedTime("2026-03-04T15:30:00Z");
  for (const scene of scenes.filter(({ name, kept }) => name.includes(only) && (all || kept))) {
    const name = `${scene.name}-${theme}-${size.name}`;
    complaints.length = 0;
    try {
      await browser.go(page, `still&theme=${theme}&${scene.query}`);
      await scene.act?.(page);
      if (shots === null) await judge(page, name);
      else await page.screenshot({ path: join(shots, `${name}.png`), animations: "disabled" });
    } catch (error) {
      failures.push(`${name}: ${error.message}`);
    }
    for (const complaint of complaints) failures.push(`${name}: ${complaint}`);
    looked += 1;
  }
  await page.close();
}

async function judge(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  for (const { id, help, nodes } of violations) {
    failures.push(`${name}: axe ${id}: ${help}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
  }
  for (const wrong of await page.evaluate(looksWrong)) failures.push(`${name}: ${wrong}`);
}

if (shots !== null) mkdirSync(shots, { recursive: true });
let looked = 0;
for (const size of sizes.filter(({ kept }) => all || kept))
  await Promise.all(themes.map((theme) => lookThrough(theme, size)));

let behaved = 0;
if (shots === null) {
  for (const [name, behaviour] of Object.entries(behaviours).filter(([name]) => name.includes(only))) {
    try {
      await behaviour(browser.open);
    } catch (error) {
      failures.push(`${name}: ${error.message}`);
    }
    behaved += 1;
  }
}
await browser.stop();

for (const failure of failures) console.error(`FAILED ${failure}`);
console.log(`${looked} screens looked at, ${behaved} behaviours, ${failures.length} failures`);
process.exit(failures.length === 0 && looked + behaved > 0 ? 0 : 1);
