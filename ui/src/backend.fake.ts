// The page without the app: a whole call to click through in a browser, and every screen by its address, e.g.
// `?screen=call&theme=dark&with=muted,slow`. Like the app it outlives the page: a reload finds the same moment again.
// `still` as another parameter stops all that moves by itself.

import type { Backend } from "./backend";
import type { AppView } from "./bindings/AppView";
import type { CallView } from "./bindings/CallView";
import type { Command } from "./bindings/Command";
import type { CommandError } from "./bindings/CommandError";
import type { DeviceKind } from "./bindings/DeviceKind";
import type { DeviceList } from "./bindings/DeviceList";
import type { PageEvent } from "./bindings/PageEvent";
import type { PartyView } from "./bindings/PartyView";
import type { RestoreView } from "./bindings/RestoreView";
import FakePicture from "./fake/FakePicture.svelte";
import { goodQuality, recoveryPhrase, sceneFor } from "./fake/scenes";

declare global {
  interface Window {
    /** What the page sent, for tests. */
    ahoySent?: Command[];
    /** Shows another moment, for tests. */
    ahoyShow?: (change: (view: AppView) => void) => void;
  }
}

const STORED = "fake-view";

export function fakeBackend(query: URLSearchParams): Backend {
  const still = query.has("still");
  const stored = sessionStorage.getItem(STORED + location.search);
  let view: AppView = stored === null ? sceneFor(query, Date.now()) : (JSON.parse(stored) as AppView);
  let heard: (event: PageEvent) => void = () => undefined;
  let script: ReturnType<typeof setTimeout>[] = [];

  const show = (change: (view: AppView) => void): void => {
    view = structuredClone(view);
    change(view);
    sessionStorage.setItem(STORED + location.search, JSON.stringify(view));
    heard({ kind: "view", view });
  };
  const later = (seconds: number, change: (view: AppView) => void): void => {
    script.push(setTimeout(() => show(change), seconds * 1000));
  };
  const stop = (): void => {
    script.forEach(clearTimeout);
    script = [];
  };

  const listening = (): boolean => view.preview.on || view.screen.kind === "call";
  const level = (t: number): number => Math.max(0, 0.45 + 0.3 * Math.sin(t * 5) * Math.sin(t * 1.7));
  if (!still) {
    setInterval(() => {
      if (!listening()) return;
      const t = performance.now() / 1000;
      heard({
        kind: "meters",
        meters: { microphone: level(t), speaker: level(t + 2), talkingWhileMuted: query.has("talking") },
      });
    }, 66);
  }

  window.ahoySent = [];
  window.ahoyShow = show;
  return {
    attach(listener) {
      heard = listener;
      if (still)
        queueMicrotask(() =>
          heard({
            kind: "meters",
            meters: { microphone: 0.55, speaker: 0.4, talkingWhileMuted: query.has("talking") },
          }),
        );
      return Promise.resolve({ view, frames: null, version: "0.1.0", platform: "linux" });
    },
    send(command) {
      window.ahoySent?.push(command);
      return Promise.resolve(obey(command, view, show, later, stop));
    },
    Picture: FakePicture,
  };
}

type Show = (change: (view: AppView) => void) => void;
type Later = (seconds: number, change: (view: AppView) => void) => void;

function obey(command: Command, view: AppView, show: Show, later: Later, stop: () => void): CommandError | null {
  const screen = view.screen;
  switch (command.kind) {
    case "signIn":
      if (!/^[a-z0-9][a-z0-9._-]{0,31}$/.test(command.username.toLowerCase())) {
        return invalid("A name has 1 to 32 letters, digits, dots and dashes, and begins with a letter or digit.");
      }
      show((v) => {
        v.screen = { kind: "signIn", username: command.username, server: command.server, busy: true, problem: null, restore: null };
      });
      later(0.8, (v) => {
        v.account = { username: command.username.toLowerCase(), server: command.server };
        v.link = { kind: "signedIn" };
        v.screen = { kind: "home" };
      });
      return null;
    case "signOut":
      stop();
      show((v) => {
        v.screen = {
          kind: "signIn",
          username: v.account?.username ?? "",
          server: v.account?.server ?? "",
          busy: false,
          problem: null,
          restore: null,
        };
        v.account = null;
        v.link = { kind: "signedOut" };
      });
      return null;
    case "dial":
      return dial(command.username, command.video, show, later, stop);
    case "accept":
      if (screen.kind !== "incoming") return outOfPlace("Nobody is calling.");
      show((v) => (v.screen = { kind: "call", ...connecting(screen.party, command.video) }));
      later(0.5, connect);
      return null;
    case "decline":
    case "closeEnded":
      show((v) => (v.screen = { kind: "home" }));
      return null;
    case "hangUp":
      stop();
      show((v) => (v.screen = { kind: "home" }));
      return null;
    case "compareCode":
      if (screen.kind !== "call" || screen.code === null) return outOfPlace("There is no code to compare yet.");
      if (command.same) {
        show((v) => {
          if (v.screen.kind !== "call" || v.screen.code === null) return;
          v.screen.code.verified = v.screen.code.lasts;
          if (v.screen.code.lasts) v.screen.party.trust = "verified";
        });
      } else {
        stop();
        show((v) => (v.screen = { kind: "home" }));
      }
      return null;
    case "trustNewKey":
      show((v) =>
        v.people.forEach((person) => {
          if (person.username === command.username && person.newKey === command.key) person.newKey = null;
        }),
      );
      return null;
    case "setMuted":
      if (screen.kind !== "call") return outOfPlace("There is no call.");
      show((v) => v.screen.kind === "call" && (v.screen.muted = command.muted));
      return null;
    case "setCamera":
      if (screen.kind !== "call") return outOfPlace("There is no call.");
      show((v) => v.screen.kind === "call" && (v.screen.cameraOn = command.on));
      return null;
    case "chooseDevice":
      show((v) => (listOf(v, command.device).chosen = command.id));
      return null;
    case "refreshDevices":
    case "testSpeaker":
      return null;
    case "setPreview":
      show((v) => (v.preview = { on: command.on, picture: false, problems: [] }));
      if (command.on) later(0.4, (v) => (v.preview.picture = v.preview.on));
      return null;
    case "setTheme":
      show((v) => (v.settings.theme = command.theme));
      return null;
    case "setLetterKeys":
      show((v) => (v.settings.letterKeys = command.on));
      return null;
    case "setRingVolume":
      show((v) => (v.settings.ringVolume = command.volume));
      return null;
    case "setNoiseSuppression":
      show((v) => (v.settings.noiseSuppression = command.on));
      return null;
    case "setHideAddress":
      show((v) => (v.settings.hideAddress = command.from));
      return null;
    case "showPhrase":
      show((v) => (v.phrase = { kind: "words", words: recoveryPhrase.split(" ") }));
      return null;
    case "hidePhrase":
      show((v) => (v.phrase = null));
      return null;
    case "restoreKey": {
      const { username, phrase } = command;
      const count = phrase.split(/\s+/).filter((word) => word !== "").length;
      if (count !== 24) {
        return invalid(
          `A recovery phrase has 24 words, these are ${count}; look for a word that is missing or written twice.`,
        );
      }
      const restored = (restore: RestoreView) => (v: AppView) => {
        if (v.screen.kind === "signIn") v.screen.restore = restore;
      };
      show(restored({ kind: "keeping" }));
      later(0.4, restored({ kind: "done", username }));
      return null;
    }
    case "dismiss":
      show((v) => (v.notices = v.notices.filter(({ id }) => id !== command.id)));
      return null;
    case "removePerson":
      show((v) => (v.people = v.people.filter(({ username }) => username !== command.username)));
      return null;
    case "setBlocked":
      show((v) => {
        const known = v.people.find(({ username }) => username === command.username);
        if (known !== undefined) known.blocked = command.blocked;
        if (screen.kind === "incoming" && command.blocked) v.screen = { kind: "home" };
      });
      return null;
    case "seenMissed":
      show((v) => v.people.forEach((person) => person.username === command.username && (person.missed = 0)));
      return null;
  }
}

function dial(username: string, video: boolean, show: Show, later: Later, stop: () => void): CommandError | null {
  if (!/^[a-z0-9][a-z0-9._-]{0,31}$/.test(username.toLowerCase())) {
    return invalid(`“${username}” cannot be a name: letters, digits, dots and dashes, 32 at most.`);
  }
  stop();
  const party: PartyView = { username: username.toLowerCase(), name: null, device: "work laptop", trust: "known" };
  show((v) => (v.screen = { kind: "outgoing", party, video, stage: { kind: "reaching" } }));
  later(0.6, (v) => v.screen.kind === "outgoing" && (v.screen.stage = { kind: "ringing", device: "work laptop" }));
  later(2, (v) => (v.screen = { kind: "call", ...connecting(party, video) }));
  later(2.5, connect);
  return null;
}

function connecting(party: PartyView, video: boolean): CallView {
  return {
    party,
    code: null,
    stage: { kind: "connecting" },
    connectedAtMs: null,
    muted: false,
    cameraOn: video,
    cameraProblem: null,
    remote: null,
    remotePicture: false,
    quality: null,
  };
}

function connect(view: AppView): void {
  if (view.screen.kind !== "call") return;
  view.screen.stage = { kind: "connected", relayed: false };
  view.screen.connectedAtMs = Date.now();
  view.screen.code = { digits: "095255", verified: false, lasts: true };
  view.screen.remote = { audio: true, video: true };
  view.screen.remotePicture = true;
  view.screen.quality = goodQuality;
}

function listOf(view: AppView, kind: DeviceKind): DeviceList {
  switch (kind) {
    case "camera":
      return view.devices.cameras;
    case "microphone":
      return view.devices.microphones;
    case "speaker":
      return view.devices.speakers;
  }
}

const invalid = (message: string): CommandError => ({ code: "invalid", message });
const outOfPlace = (message: string): CommandError => ({ code: "outOfPlace", message });
