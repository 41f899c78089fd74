// What a screen reader is told when the screen changes by itself: what a sighted person would notice.

import type { Screen } from "./bindings/Screen";
import { nameOf, words } from "./strings";

interface News {
  how: "polite" | "assertive";
  text: string;
}

/** What is new between two moments; `null` when nothing is worth a word. */
export function announcement(before: Screen | undefined, now: Screen | undefined): News | null {
  if (now === undefined) return null;
  switch (now.kind) {
    case "incoming":
      return before?.kind === "incoming"
        ? null
        : { how: "assertive", text: words.incoming.announce(nameOf(now.party), now.video) };
    case "outgoing":
      return now.stage.kind === "ringing" && !(before?.kind === "outgoing" && before.stage.kind === "ringing")
        ? polite(now.stage.device === null ? words.outgoing.ringing : words.outgoing.ringingOn(now.stage.device))
        : null;
    case "call":
      return before?.kind === "call" ? inCall(before, now) : null;
    case "ended":
      return before?.kind === "ended" ? null : polite(now.sentence);
    case "signIn":
    case "home":
      return null;
  }
}

type Call = Extract<Screen, { kind: "call" }>;

function inCall(before: Call, now: Call): News | null {
  const name = nameOf(now.party);
  if (before.stage.kind !== now.stage.kind) {
    if (now.stage.kind === "reconnecting") return polite(words.call.reconnecting);
    if (now.stage.kind === "connected") return polite(words.call.connected);
  }
  if (before.remote && now.remote && before.remote.audio !== now.remote.audio) {
    return polite(now.remote.audio ? words.call.remoteUnmuted(name) : words.call.remoteMuted(name));
  }
  if (before.remote && now.remote && before.remote.video !== now.remote.video) {
    return polite(now.remote.video ? words.call.remoteCameraOn(name) : words.call.remoteCameraOff(name));
  }
  const sentence = now.quality?.sentence ?? null;
  return sentence !== null && sentence !== (before.quality?.sentence ?? null) ? polite(sentence) : null;
}

const polite = (text: string): News => ({ how: "polite", text });
