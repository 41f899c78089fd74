// Scripted moments for the fake backend: `?screen=call&with=muted,slow`. Each is what Rust would send.

import type { AppView } from "../bindings/AppView";
import type { CallView } from "../bindings/CallView";
import type { PartyView } from "../bindings/PartyView";
import type { PersonView } from "../bindings/PersonView";
import type { QualityView } from "../bindings/QualityView";
import type { Screen } from "../bindings/Screen";
import type { Theme } from "../bindings/Theme";

const HOUR_MS = 3_600_000;

/** As long as names may be: usernames 32 characters, what people call themselves 64. */
const LONG_USERNAME = "wilhelmina-van-den-broek-van-dam";
const LONG_NAME = "Wilhelmina Hendrika van den Broek-van Dam tot Oosterwijk en Zijl";

export const goodQuality: QualityView = {
  sentence: null,
  roundTripMs: 34,
  lostPercent: 0.2,
  soundDelayMs: 58,
  fps: 30,
  receivedBps: 1_640_000,
  sentBps: 1_580_000,
};

/** A test vector of BIP-39: nobody's key. */
export const recoveryPhrase =
  "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel tennis maple dilemma loan word shrug inflict delay length";

/** The moment that the address of the page asks for. */
export function sceneFor(query: URLSearchParams, nowMs: number): AppView {
  const flags = new Set((query.get("with") ?? "").split(","));
  const kind = query.get("screen") ?? "signIn";
  const view: AppView = {
    screen: screenFor(kind, flags, nowMs),
    account:
      kind === "signIn" ? null : { username: flags.has("long") ? LONG_USERNAME : "alice", server: "calls.example.org" },
    link: linkFor(kind, flags),
    people: flags.has("empty") ? [] : peopleAt(nowMs, flags),
    devices: {
      cameras: {
        found: [
          { id: "cam-front", name: "Integrated Camera" },
          { id: "cam-desk", name: "Logitech BRIO Ultra HD Webcam (046d:085e)" },
        ],
        chosen: flags.has("unplugged") ? "cam-gone" : "cam-front",
        problem: flags.has("unplugged") ? "The chosen camera is not plugged in; the system’s default is used." : null,
      },
      microphones: {
        found: flags.has("nodevices")
          ? []
          : [
              { id: "mic-headset", name: "Headset Microphone" },
              { id: "mic-in", name: "Built-in Audio Analog Stereo" },
            ],
        chosen: null,
        problem: flags.has("nodevices") ? "No microphone was found. Plug one in; it is used at once." : null,
      },
      speakers: {
        found: [
          { id: "spk-headset", name: "Headset" },
          { id: "spk-out", name: "Built-in Audio" },
        ],
        chosen: "spk-headset",
        problem: null,
      },
    },
    settings: {
      theme: (query.get("theme") as Theme | null) ?? "system",
      letterKeys: true,
      ringVolume: 0.7,
      noiseSuppression: true,
      hideAddress: "never",
    },
    preview: {
      on: flags.has("preview"),
      picture: flags.has("preview") && !flags.has("nocamera"),
      problems: flags.has("nocamera")
        ? ["The camera is used by another program. Close that program; it is tried again each second."]
        : [],
    },
    phrase: null,
    notices: [],
  };
  if (kind === "outgoing") view.preview = { on: true, picture: true, problems: [] };
  if (flags.has("notice")) {
    view.notices = [
      { id: 1, text: "carol called while you were in a call.", tone: "neutral" },
      { id: 2, text: "The headset was unplugged; the system’s default microphone is used now.", tone: "warning" },
    ];
  }
  return view;
}

function screenFor(kind: string, flags: Set<string>, nowMs: number): Screen {
  const party = partyFor(flags);
  switch (kind) {
    case "home":
      return { kind: "home" };
    case "incoming":
      return { kind: "incoming", party, video: !flags.has("voice") };
    case "outgoing":
      return {
        kind: "outgoing",
        party,
        video: !flags.has("voice"),
        stage: flags.has("ringing")
          ? { kind: "ringing", device: flags.has("long") ? "Wilhelmina’s work laptop in the study" : "work laptop" }
          : { kind: "reaching" },
      };
    case "call":
      return { kind: "call", ...callFor(party, flags, nowMs) };
    case "ended":
      return {
        kind: "ended",
        party,
        video: true,
        sentence: flags.has("refused")
          ? `A computer of ${party.username}'s refused the call; one of you may have a new key, so ask ${party.username} in another way to call you, or to trust your key.`
          : flags.has("failed")
          ? "The call was lost: nothing came through for 30 seconds. Check the network on both sides and call again."
          : `${party.username} hung up.`,
        tone: flags.has("failed") || flags.has("refused") ? "danger" : "neutral",
        seconds: flags.has("short") ? null : 724,
        callAgain: true,
      };
    default:
      return {
        kind: "signIn",
        username: flags.has("fresh") ? "" : "alice",
        server: "calls.example.org",
        busy: flags.has("busy"),
        problem: flags.has("problem")
          ? "calls.example.org could not be reached: no such host. Check the name of the server."
          : null,
        restore: flags.has("restored") ? { kind: "done", username: "alice" } : null,
      };
  }
}

function partyFor(flags: Set<string>): PartyView {
  return {
    username: flags.has("long") ? LONG_USERNAME : flags.has("guest") ? "guest-7k2m" : "bob",
    name: flags.has("long") ? LONG_NAME : null,
    device: "work laptop",
    trust: flags.has("guest") ? "guest" : flags.has("first") ? "firstTime" : flags.has("verified") ? "verified" : "known",
  };
}

function callFor(party: PartyView, flags: Set<string>, nowMs: number): CallView {
  const connecting = flags.has("connecting");
  return {
    party,
    code: connecting ? null : { digits: "095255", verified: flags.has("verified"), lasts: !flags.has("guest") },
    stage: connecting
      ? { kind: "connecting" }
      : flags.has("reconnecting")
        ? { kind: "reconnecting" }
        : { kind: "connected", relayed: flags.has("relayed") },
    connectedAtMs: connecting ? null : nowMs - 724_000,
    muted: flags.has("muted"),
    cameraOn: !flags.has("cameraoff"),
    cameraProblem: flags.has("camerafails") ? "no camera is connected; connect one or choose another" : null,
    remote: connecting ? null : { audio: !flags.has("theymuted"), video: !flags.has("theycameraoff") },
    remotePicture: !connecting && !flags.has("theycameraoff"),
    quality: connecting
      ? null
      : {
          ...goodQuality,
          sentence: flags.has("slow") ? `${party.username}’s network is slow: picture reduced, voice is fine.` : null,
        },
  };
}

function linkFor(kind: string, flags: Set<string>): AppView["link"] {
  if (kind === "signIn") return { kind: flags.has("busy") ? "signingIn" : "signedOut" };
  return flags.has("offline") ? { kind: "waiting", why: "calls.example.org does not answer." } : { kind: "signedIn" };
}

function peopleAt(nowMs: number, flags: Set<string>): PersonView[] {
  const person = (username: string, more: Partial<PersonView>): PersonView => ({
    username,
    online: null,
    known: false,
    verified: false,
    newKey: null,
    last: null,
    missed: 0,
    blocked: false,
    ...more,
  });
  const people = [
    person("bob", {
      online: true,
      known: true,
      verified: flags.has("verified"),
      newKey: flags.has("newkey") ? "p_bfr484uJuozmSbWU-R5NAf3Ff5yUk99DteUKmYc2c" : null,
      last: { direction: "outgoing", atMs: nowMs - 2 * HOUR_MS, seconds: 1_503, video: true },
    }),
    person("carol", {
      online: true,
      known: true,
      missed: 2,
      last: { direction: "missed", atMs: nowMs - 3 * HOUR_MS, seconds: null, video: true },
    }),
    person("dave", {
      online: false,
      known: true,
      last: { direction: "incoming", atMs: nowMs - 27 * HOUR_MS, seconds: 64, video: false },
    }),
    person("erin", { last: { direction: "outgoing", atMs: nowMs - 76 * HOUR_MS, seconds: null, video: true } }),
    person("echo", {
      online: true,
      known: true,
      last: { direction: "outgoing", atMs: nowMs - 400 * HOUR_MS, seconds: 41, video: true },
    }),
  ];
  if (flags.has("long"))
    people.unshift(
      person(LONG_USERNAME, {
        online: true,
        known: true,
        last: { direction: "incoming", atMs: nowMs - HOUR_MS, seconds: 8_000, video: true },
      }),
    );
  if (flags.has("many")) for (let n = 1; n <= 24; n++) people.push(person(`friend-${n}`, { online: n % 3 === 0 }));
  return people;
}
