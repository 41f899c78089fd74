// A browser as a guest: the test that opened this page says over a WebSocket what to do, and is told what happens.
// Commands are {id, command, …} and are answered with {id, value} or {id, error}; what happens by itself is {report, …}.

import { Call } from "./call.js";
import { base64, hear, look, measure } from "./measure.js";
import { clock, logCaptured, logShown } from "./watch.js";

const harness = new WebSocket(`ws://${location.host}/drive`);
const screen = document.querySelector("video");
let server = null;
let call = null;
// What to do with the next call that comes in.
let plan = null;
// What was captured and shown since a benchmark began to watch.
let watched = null;
// What the fake devices give is to arrive as it is: nothing is to be cancelled, suppressed or levelled.
let processing = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

const commands = {
  // Signs in as a guest (section 3 of the contract).
  sign_in({ server: url, username }) {
    server = new WebSocket(url);
    const session = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0"));
    server.onclose = () => tell("link_lost");
    return new Promise((resolve) => {
      server.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "hello") {
          serverSend({ type: "login", protocol: 1, username, session: session.join("") });
        } else if (message.type === "welcome") {
          server.onmessage = ({ data }) => handle(JSON.parse(data));
          resolve({ address: `${message.username}/${message.session}` });
        } else {
          tell("failed", { message: data });
        }
      };
    });
  },
  async call({ to, audio = true, video, codec }) {
    const tracks = await openDevices(audio, video);
    const dialled_ms = clock();
    call = newCall({ id: crypto.randomUUID(), isCaller: true, user: to, codec });
    await call.dial(tracks);
    return { call: call.id, dialled_ms };
  },
  // Accepts the next call that comes in.
  async answer({ audio = true, video, codec }) {
    plan = { tracks: await openDevices(audio, video), codec };
  },
  // Logs from now on, in this and later calls, what is captured and shown.
  watch() {
    watched = { captured: [], shown: [], pictures: [] };
    logShown(screen, watched.shown, watched.pictures);
  },
  // What was logged; the pictures that were kept are asked for one by one.
  watched: () => ({ ...watched, pictures: watched.pictures.length }),
  watched_picture({ at }) {
    const [[barcode, shown_ms], { width, height, luma }] = watched.pictures[at];
    return { barcode, shown_ms, width, height, luma: base64(luma) };
  },
  // From the next call on the microphone's sound is processed as it is for people.
  process_sound() {
    processing = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  },
  mute: (what) => call.mute(what),
  hold: ({ held }) => call.hold(held),
  restart_ice: () => call.restartIce(),
  hang_up: () => call.hangUp(),
  stats: () => measure(call.pc),
  look: () => look(screen),
  hear: ({ seconds }) => hear(screen.srcObject, seconds),
};

harness.onmessage = async ({ data }) => {
  const { id, command, ...more } = JSON.parse(data);
  try {
    const value = await commands[command](more);
    harness.send(JSON.stringify({ id, value: value ?? null }));
  } catch (error) {
    harness.send(JSON.stringify({ id, error: `${command}: ${error}` }));
  }
};
addEventListener("unhandledrejection", ({ reason }) => tell("failed", { message: `${reason}` }));
addEventListener("error", ({ message }) => tell("failed", { message }));

function tell(report, more = {}) {
  harness.send(JSON.stringify({ ...more, report, t_ms: clock() }));
}

function serverSend(message) {
  server.send(JSON.stringify(message));
}

function handle(message) {
  if (message.type === "offer" && message.devices !== undefined) {
    return takeCall(message);
  }
  if (message.type === "error" && !message.call) {
    return tell("failed", { message: message.message });
  }
  if (message.call && message.call === call?.id) call.handle(message);
}

async function takeCall(offer) {
  const user = offer.from.split("/")[0];
  call = newCall({ id: offer.call, isCaller: false, user, other: offer.from, codec: plan.codec });
  tell("incoming", { from: offer.from, video: offer.video });
  call.ring();
  await call.accept(offer, plan.tracks);
}

function newCall(about) {
  const made = new Call({ ...about, serverSend, tell });
  const stream = new MediaStream();
  screen.srcObject = stream;
  screen.requestVideoFrameCallback((_, { presentationTime }) =>
    tell("first_frame", { shown_ms: performance.timeOrigin + presentationTime }),
  );
  made.onTrack = (track, transceiver) => {
    // Microphone and camera; the third section is the screen's.
    if (made.pc.getTransceivers().indexOf(transceiver) < 2) stream.addTrack(track);
  };
  return made;
}

async function openDevices(audio, video) {
  if (!audio && !video) return {};
  const size = { width: 640, height: 480, frameRate: 30 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: audio && processing, video: video && size });
  const [[microphone], [camera]] = [stream.getAudioTracks(), stream.getVideoTracks()];
  if (camera && watched) logCaptured(camera.clone(), watched.captured);
  return { microphone, camera };
}
