// Light or dark, as chosen or as the system has it, on the root element for tokens.css.

import type { Theme } from "./bindings/Theme";

/** Applies a theme and follows the system while it says so. Returns how to stop. */
export function followTheme(theme: Theme): () => void {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = (): void => {
    const dark = theme === "dark" || (theme === "system" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
  };
  apply();
  system.addEventListener("change", apply);
  return () => system.removeEventListener("change", apply);
}
