// The built page on a loopback port, with a content security policy as strict as the app's, and a Chromium to look
// at it.

import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { delimiter, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const BUILT = fileURLToPath(new URL("../dist/", import.meta.url));

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

/** No inline scripts or styles, no eval, nothing from elsewhere. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Where Chromium is; `null` where there is none. `AHOY_CHROMIUM` says otherwise. */
export function chromiumPath() {
  if (process.env.AHOY_CHROMIUM) return process.env.AHOY_CHROMIUM;
  const folders = (process.env.PATH ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path)) ?? null;
}

/** Serves the built page and opens Chromium. `open` gives a page on a scene, and what the page complains about. */
export async function startBrowser(executablePath) {
  if (!existsSync(join(BUILT, "index.html"))) throw new Error("ui/dist is not built: run `npm run build` first");
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    const file = join(BUILT, path === "/" ? "index.html" : path);
    if (!existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, {
      "content-type": TYPES[extname(file)] ?? "text/plain",
      "content-security-policy": POLICY,
    });
    createReadStream(file).pipe(response);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const browser = await chromium.launch({ executablePath, args: FLAGS });

  /** Goes to a scene, and waits until it is drawn. */
  async function go(page, query) {
    await page.goto(`${origin}/?${query}`);
    await page.waitForSelector("[data-screen]");
    await page.evaluate(() => document.fonts.ready);
  }

  async function open(query, { width = 1080, height = 720, ...context } = {}) {
    const page = await browser.newPage({ viewport: { width, height }, ...context });
    page.setDefaultTimeout(10_000);
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(`exception: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") complaints.push(`console: ${message.text()}`);
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(origin)) complaints.push(`asks elsewhere: ${request.url()}`);
    });
    await go(page, query);
    return { page, complaints };
  }

  async function stop() {
    await browser.close();
    server.close();
  }

  return { open, go, stop };
}
