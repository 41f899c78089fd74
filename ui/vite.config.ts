import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  // The mark is the icon, beside this folder.
  server: { fs: { allow: [".."] } },
  build: {
    // The oldest web view that runs what the page uses: macOS 13.
    target: "safari16.4",
    // As files, never as data: addresses: the content security policy knows only 'self'.
    assetsInlineLimit: 0,
  },
});
