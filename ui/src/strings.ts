// Every word on the screen that does not come from Rust. Rust sends whole sentences for what it alone knows: why a call
// ended, what is wrong with a device, whose network is slow.

import type { DeviceKind } from "./bindings/DeviceKind";
import type { PartyView } from "./bindings/PartyView";

const plural = (count: number, one: string, many: string): string => (count === 1 ? one : many);

export const words = {
  close: "Close",
  back: "Back",
  dismiss: "Dismiss",
  noHouse: "This window could not reach the rest of Ahoy. Close it and start Ahoy again.",

  signIn: {
    title: "Sign in to Ahoy",
    lead: "Call a person by name, from any computer.",
    name: "Your name",
    nameHint: "Letters, digits, dots and dashes. It belongs to the key on this computer: no password.",
    server: "Server",
    serverHint: "The one your friends use.",
    invited: "I have an invitation",
    invite: "Invitation",
    inviteHint: "The code that whoever runs the server gave you, for a new name.",
    submit: "Sign in",
    busy: "Signing in…",
  },

  restore: {
    open: "I have a recovery phrase",
    title: "Recovery phrase",
    hint: (name: string): string =>
      name === ""
        ? "The 24 words, in their order. Write your name above first."
        : `The 24 words of ${name}, in their order. They bring the key of that name to this computer.`,
    submit: "Restore the key",
    busy: "Keeping the key…",
    leave: "Not now",
    done: (name: string): string => `The key of ${name} is on this computer now. Sign in.`,
  },

  home: {
    title: "Home",
    call: "Call a name",
    callHint: "Enter: with picture · Shift+Enter: voice only",
    withPicture: "Call with picture",
    voiceOnly: "Call with voice only",
    callPerson: (name: string): string => `Call ${name} with picture`,
    people: "People",
    noPeople: "People you call, and who call you, appear here.",
    noMatch: (typed: string): string => `Nobody on this list matches “${typed}”. They can be called all the same.`,
    nobodyChosen: "Call a person by name",
    nobodyChosenLead: "Type their name and press Enter. It rings on every computer where they are signed in.",
    yourName: (name: string, server: string): string => `Friends on ${server} reach you as ${name}.`,
    online: "Online",
    offline: "Not online",
    known: "Same key as in earlier calls",
    verified: "Verified: you compared the code",
    remove: "Remove from list",
    block: "Block",
    unblock: "Unblock",
    blocked: "Blocked",
    blockedLead: "Their calls do not ring here, and they are not told. They do not see when you are here.",
    missed: (count: number): string => plural(count, "1 missed call", `${count} missed calls`),
    settings: "Settings",
    signedIn: "Calls ring here",
    signingIn: "Signing in…",
    signedOut: "Signed out",
    waiting: "No connection",
    retrying: "Trying again by itself.",
  },

  last: {
    outgoing: "You called",
    incoming: "Called you",
    missed: "Missed",
    unanswered: "No answer",
  },

  preview: {
    title: "Camera and microphone",
    off: "See and hear yourself before you call. Nothing is sent.",
    start: "Check your camera and microphone",
    stop: "Turn off",
    on: "Only you see and hear this",
    opening: "Opening the camera…",
    level: "Microphone level",
    yourPicture: "Your picture",
  },

  incoming: {
    withPicture: "is calling with picture",
    voice: "is calling",
    announce: (name: string, video: boolean): string => `${name} is calling${video ? " with picture" : ""}`,
    decline: "Decline",
    voiceOnly: "Voice only",
    video: "Answer with picture",
    answer: "Answer",
    block: (username: string): string => `Block ${username}`,
  },

  trust: {
    known: (name: string): string => `The ${name} you know: same key as before`,
    verified: (name: string): string => `Verified: you compared the code with ${name}`,
    firstTime: "First call with this person from this computer",
    guest: "A guest: nobody vouches for this name",
  },

  code: {
    title: "Verification code",
    spelled: (digits: string): string => `Code ${digits.split("").join(" ")}`,
    lead: (name: string): string => `Read it to ${name}. If they see the same six digits, nobody sits between you.`,
    same: "They match",
    differ: "They differ",
    verified: (name: string): string => `You compared it: this is ${name}.`,
    matched: "You compared it: nobody sits between you.",
  },

  newKey: {
    title: "Another key was shown",
    look: "Look at it",
    lead: (name: string): string =>
      `Calls under this name come with a key that is not the one you know, and are refused. It may be a new computer, or somebody else. Ask ${name} in another way, by letter or in person, before you take it.`,
    trust: "It is theirs: trust it",
    leave: "Leave it refused",
  },

  outgoing: {
    reaching: "Reaching…",
    waiting: (why: string): string => `No connection: ${why} The call goes out as soon as it is back.`,
    ringing: "Ringing",
    ringingOn: (device: string): string => `Ringing on ${device}`,
    hangUp: "Stop calling",
  },

  call: {
    title: (name: string): string => `Call with ${name}`,
    theirPicture: (name: string): string => `${name}’s picture`,
    controls: "Call controls",
    connecting: "Connecting…",
    reconnecting: "Reconnecting. Stay on the line…",
    direct: "Direct",
    relayed: "Relayed",
    mute: "Mute microphone",
    cameraOff: "Turn camera off",
    hangUp: "Hang up",
    settings: "Settings",
    microphones: "Choose microphone",
    cameras: "Choose camera",
    allSettings: "All settings",
    remoteMuted: (name: string): string => `${name} is muted`,
    remoteUnmuted: (name: string): string => `${name} is not muted any more`,
    remoteCameraOff: (name: string): string => `${name}’s camera is off`,
    remoteCameraOn: (name: string): string => `${name}’s camera is on`,
    waitingForPicture: (name: string): string => `Waiting for ${name}’s picture…`,
    talkingWhileMuted: "You are muted",
    talkingHint: (keys: string): string => `Press ${keys} to be heard`,
    holdToTalk: "Heard while you hold Space",
    selfCorner: (corner: string): string => `Your picture, ${corner}. Move to the next corner`,
    selfOff: "Camera off",
    selfFails: "No picture from your camera",
    selfMuted: "Muted",
    corners: {
      bottomRight: "bottom right",
      bottomLeft: "bottom left",
      topLeft: "top left",
      topRight: "top right",
    },
    connected: "Connected",
    details: "Connection",
    directLong: "Encrypted from end to end, straight between your two computers.",
    relayedLong: "Encrypted from end to end, through a relay that cannot read it.",
    connectingLong: "Encrypted from end to end. The path is being made.",
    roundTrip: "Round trip",
    lost: "Lost on the way",
    soundDelay: "Sound waits",
    fps: "Pictures a second",
    received: "Received",
    sent: "Sent",
    noFigures: "Figures come once media flows.",
  },

  ended: {
    lasted: (time: string): string => `Lasted ${time}`,
    again: "Call again",
    home: "Back to home",
  },

  settings: {
    title: "Settings",
    devices: "Sound and picture",
    camera: "Camera",
    microphone: "Microphone",
    speaker: "Speaker",
    systemDefault: "System default",
    notPluggedIn: "Chosen device (not plugged in)",
    noiseSuppression: "Noise suppression",
    noiseSuppressionHint:
      "Takes fans, hum and hiss out of what your microphone hears. Switch it off for music, or if it clips your voice.",
    test: "Play a test sound",
    ring: "Ring volume",
    silent: "Silent",
    look: "Appearance",
    themes: { system: "As the system", light: "Light", dark: "Dark" },
    keys: "Keyboard",
    letterKeys: "Single keys as shortcuts",
    letterKeysHint: "M, V, ? and holding Space, in a call. Switch it off if you dictate or press keys by accident.",
    showKeys: "Show all shortcuts",
    account: "Account",
    signedInAs: (name: string, server: string): string => `Signed in as ${name} on ${server}`,
    signOut: "Sign out",
    version: (version: string): string => `Ahoy ${version}`,
  },

  privacy: {
    title: "Privacy",
    hide: "Hide my address",
    hint: "The two sides of a direct call see each other’s network address. To hide yours the call goes through the server’s relay: a longer way, and where the server has none the call ends and says so. It counts from the next call on.",
    from: {
      never: "From nobody",
      fromStrangers: "From callers who are not on my list",
      always: "From everybody",
    },
  },

  phrase: {
    title: "Recovery phrase",
    lead: "24 words that are the key of your name. With them you keep your name when this computer is lost, or take it to another one. Write them on paper.",
    show: "Show the recovery phrase",
    reading: "Reading the key…",
    warning: "Whoever reads these words can be you. See that nobody looks over your shoulder; nobody honest asks for them.",
    hide: "I have written them down",
    copy: "Copy",
    copied: "Copied. Other programs can read it until you copy something else.",
    marked: "Marked: copy them with Ctrl+C, or write them down.",
    back: "Back",
  },

  keys: {
    title: "Keyboard shortcuts",
    mute: "Mute or unmute",
    camera: "Camera on or off",
    talk: "Talk while held, when muted",
    answerVoice: "Answer with voice only",
    answerVideo: "Answer with picture",
    decline: "Decline",
    hangUp: "Hang up",
    selfView: "Move your picture to the next corner",
    fullScreen: "Full screen",
    settings: "Settings",
    help: "This table",
    or: "or",
    off: "Single keys are switched off in the settings.",
  },
};

/** What somebody is called on the screen: their username, which is who they are. */
export const nameOf = (party: PartyView): string => party.username;

export const deviceWord: Record<DeviceKind, string> = {
  camera: words.settings.camera,
  microphone: words.settings.microphone,
  speaker: words.settings.speaker,
};

/** 64 → "1:04", 3723 → "1:02:03". */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n: number): string => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** 42 → "42 s", 95 → "2 min", 4000 → "1 h 7 min": for a list, where seconds are noise. */
export function roughly(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A moment as a person says it: a time today, "Yesterday", a weekday within a week, else a date. */
export function when(atMs: number, nowMs: number): string {
  const at = new Date(atMs);
  const midnight = new Date(nowMs);
  midnight.setHours(0, 0, 0, 0);
  const days = Math.floor((midnight.getTime() - atMs) / 86_400_000) + 1;
  if (days <= 0) return at.toLocaleTimeString(undefined, { hour: "numeric", minute: "2-digit" });
  if (days === 1) return "Yesterday";
  if (days < 7) return at.toLocaleDateString("en", { weekday: "long" });
  return at.toLocaleDateString("en", { day: "numeric", month: "short" });
}

/** 1_500_000 → "1.5 Mbit/s". */
export function bitrate(bps: number): string {
  return bps >= 1_000_000 ? `${(bps / 1_000_000).toFixed(1)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}
