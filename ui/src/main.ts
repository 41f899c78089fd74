import "./styles/tokens.css";
import "./styles/base.css";

import { mount } from "svelte";

import App from "./App.svelte";
import { findBackend } from "./backend";
import { page } from "./state.svelte";
import { words } from "./strings";
import { followTheme } from "./theme";

const target = document.getElementById("app");
if (target === null) throw new Error("index.html has no #app");

// Until it is known which theme was chosen.
followTheme("system")();
try {
  await page.start(await findBackend());
  followTheme(page.view?.settings.theme ?? "system")();
  mount(App, { target });
} catch (error) {
  console.error(error);
  target.textContent = words.noHouse;
}
