// The one table of keys. Keys are looked up by the character that the keyboard layout gives, and where that is no Latin
// letter, by the place of the key. Single keys can be switched off (WCAG 2.1.4) and are dead where somebody types.

import type { Screen } from "./bindings/Screen";
import { words } from "./strings";

type ScreenKind = Screen["kind"];

export type ShortcutId =
  | "mute"
  | "camera"
  | "talk"
  | "answerVoice"
  | "answerVideo"
  | "decline"
  | "hangUp"
  | "selfView"
  | "fullScreen"
  | "settings"
  | "help";

interface Chord {
  key: string;
  mod?: boolean;
  shift?: boolean;
}

interface Shortcut {
  id: ShortcutId;
  does: string;
  /** Where it works; everywhere if not said. */
  on?: ScreenKind[];
  chord?: Chord;
  /** Works alone, while single keys are switched on. */
  single?: string;
}

export const shortcuts: Shortcut[] = [
  { id: "mute", does: words.keys.mute, on: ["call"], chord: { key: "d", mod: true }, single: "m" },
  { id: "camera", does: words.keys.camera, on: ["call"], chord: { key: "e", mod: true }, single: "v" },
  { id: "talk", does: words.keys.talk, on: ["call"], single: " " },
  { id: "selfView", does: words.keys.selfView, on: ["call"], chord: { key: "p", mod: true } },
  { id: "hangUp", does: words.keys.hangUp, on: ["call", "outgoing"], chord: { key: "e", mod: true, shift: true } },
  { id: "answerVideo", does: words.keys.answerVideo, on: ["incoming"], chord: { key: "v", mod: true, shift: true } },
  { id: "answerVoice", does: words.keys.answerVoice, on: ["incoming"], chord: { key: "a", mod: true, shift: true } },
  { id: "decline", does: words.keys.decline, on: ["incoming"], chord: { key: "d", mod: true, shift: true } },
  { id: "settings", does: words.keys.settings, on: ["home", "call"], chord: { key: ",", mod: true } },
  { id: "fullScreen", does: words.keys.fullScreen, chord: { key: "f11" } },
  { id: "help", does: words.keys.help, chord: { key: "f1" }, single: "?" },
];

/** Which shortcut a pressed key is on this screen, if any. */
export function shortcutFor(event: KeyboardEvent, screen: ScreenKind, letterKeys: boolean): ShortcutId | null {
  const key = keyOf(event);
  const mod = event.ctrlKey || event.metaKey;
  if (event.altKey) return null;
  const found = shortcuts.find(({ on, chord, single }) => {
    if (on !== undefined && !on.includes(screen)) return false;
    if (chord?.key === key && mod === (chord.mod ?? false) && event.shiftKey === (chord.shift ?? false)) return true;
    return letterKeys && single === key && !mod && (single === "?" || !event.shiftKey) && !isTyping(event.target);
  });
  return found?.id ?? null;
}

/** What to print on the keys, e.g. ["Ctrl+D", "M"]. */
export function keysOf(shortcut: Shortcut, platform: string, letterKeys: boolean): string[] {
  const keys: string[] = [];
  if (shortcut.chord !== undefined) {
    const { key, mod, shift } = shortcut.chord;
    const mac = platform === "macos";
    const parts = [mod ? (mac ? "⌘" : "Ctrl") : "", shift ? (mac ? "⇧" : "Shift") : "", key.toUpperCase()];
    keys.push(parts.filter((part) => part !== "").join(mac ? "" : "+"));
  }
  if (shortcut.single !== undefined && letterKeys) {
    keys.push(shortcut.single === " " ? "Space" : shortcut.single.toUpperCase());
  }
  return keys;
}

/** The same for one that is named. */
export function keysFor(id: ShortcutId, platform: string, letterKeys: boolean): string[] {
  const shortcut = shortcuts.find((one) => one.id === id);
  return shortcut === undefined ? [] : keysOf(shortcut, platform, letterKeys);
}

/** Whether a key pressed there writes something. */
function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) {
    return true;
  }
  return target instanceof HTMLInputElement && !["checkbox", "radio", "range", "button"].includes(target.type);
}

function keyOf(event: KeyboardEvent): string {
  const key = event.key.toLowerCase();
  const latin = /^[\x20-\x7e]$/.test(key) || key.length > 1;
  if (latin) return key;
  return /^Key([A-Z])$/.exec(event.code)?.[1]?.toLowerCase() ?? key;
}
