// Makes the icons that the packages use from the one source, icons/ahoy.svg. `tauri icon` makes more than those.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const WANTED = ["32x32.png", "128x128.png", "128x128@2x.png", "icon.png", "icon.ico", "icon.icns"];

const icons = fileURLToPath(new URL("../icons/", import.meta.url));
const made = mkdtempSync(join(tmpdir(), "ahoy-icons-"));
execFileSync("npx", ["tauri", "icon", join(icons, "ahoy.svg"), "--output", made], {
  stdio: "inherit",
  shell: process.platform === "win32",
});
for (const name of WANTED) copyFileSync(join(made, name), join(icons, name));
rmSync(made, { recursive: true });
