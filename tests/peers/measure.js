// What a page sees and hears, so that a test can compare it with what was sent.

// The figures of a call, over all its streams of a kind.
export async function measure(pc) {
  const stats = [...(await pc.getStats()).values()];
  const figures = {};
  for (const way of ["inbound", "outbound"]) {
    for (const kind of ["audio", "video"]) {
      const streams = stats.filter((entry) => entry.type === `${way}-rtp` && entry.kind === kind);
      const sum = (member) => streams.reduce((total, stream) => total + (stream[member] ?? 0), 0);
      const busiest = streams.sort((one, other) => packets(other) - packets(one))[0];
      figures[`${way}_${kind}`] = {
        codec: stats.find(({ id }) => id === busiest?.codecId)?.mimeType ?? null,
        packets: packets({ packetsReceived: sum("packetsReceived"), packetsSent: sum("packetsSent") }),
        frames: sum("framesDecoded") + sum("framesSent"),
        samples: sum("totalSamplesReceived"),
        concealed: sum("concealedSamples"),
      };
    }
  }
  return figures;
}

function packets({ packetsReceived = 0, packetsSent = 0 }) {
  return packetsReceived + packetsSent;
}

// The brightness of the picture on the screen now, a byte a pixel, in the range of a camera's (16 to 235).
export async function look(screen) {
  await new Promise((resolve) => screen.requestVideoFrameCallback(resolve));
  const [width, height] = [screen.videoWidth, screen.videoHeight];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(screen, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const luma = new Uint8Array(width * height);
  for (let at = 0; at < luma.length; at += 1) {
    const full = 0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2];
    luma[at] = 16 + (full * 219) / 255;
  }
  return { width, height, luma: base64(luma) };
}

// So many seconds of what is heard from now on: mono, 16 bit, little-endian. Recorded as a file and read again, which
// unlike an audio graph needs no sound card.
export async function hear(stream, seconds) {
  const recorder = new MediaRecorder(new MediaStream(stream.getAudioTracks()));
  const pieces = [];
  recorder.ondataavailable = ({ data }) => pieces.push(data);
  const stopped = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  setTimeout(() => recorder.stop(), seconds * 1000);
  await stopped;
  const context = new OfflineAudioContext(1, 1, 48000);
  const sound = await context.decodeAudioData(await new Blob(pieces).arrayBuffer());
  const samples = Int16Array.from(sound.getChannelData(0), (sample) => Math.max(-1, Math.min(1, sample)) * 32767);
  return { rate_hz: sound.sampleRate, samples: base64(new Uint8Array(samples.buffer)) };
}

export function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}
