// What a page captures and shows of a clip whose pictures carry their number, and when: for the benchmarks, which compare
// what two pages tell. Times are in milliseconds since 1970, by the monotonic clock that both pages share.

// The barcode (tests/bench/clip.rs): blocks across the top of the picture, dark 0 and light 1, the highest bit first.
const BLOCKS = 16;
const ROWS_OF_PICTURE = 30;
// Of every so many shown pictures one is kept whole.
const KEPT = 20;

export function clock() {
  return performance.timeOrigin + performance.now();
}

// Logs the pictures of a camera's track as they come from it, as [barcode, time], until it ends.
export async function logCaptured(track, log) {
  const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
  for (;;) {
    const { value: frame, done } = await reader.read();
    if (done) return;
    const entry = [0, clock()];
    log.push(entry);
    // The next is not to wait until this one is read.
    readBarcode(frame).then((barcode) => {
      entry[0] = barcode;
      frame.close();
    });
  }
}

// Logs the pictures that an element shows, as [barcode, time], and keeps some of them, with their entry.
export function logShown(screen, log, pictures) {
  let count = 0;
  const take = async (_, { presentationTime }) => {
    screen.requestVideoFrameCallback(take);
    // The first may come before the element counts as having one, while it waits for sound.
    if (screen.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    const frame = new VideoFrame(screen);
    const isKept = count++ % KEPT === 0;
    const entry = [0, performance.timeOrigin + presentationTime];
    // Its place in the log is that of its time, however long the reading takes.
    log.push(entry);
    entry[0] = await readBarcode(frame);
    if (isKept) pictures.push([entry, await readLuma(frame)]);
    frame.close();
  };
  screen.requestVideoFrameCallback(take);
}

async function readBarcode(frame) {
  const [width, height] = [frame.codedWidth, Math.floor(frame.codedHeight / ROWS_OF_PICTURE) & ~1];
  const rect = { x: 0, y: 0, width, height };
  const data = new Uint8Array(frame.allocationSize({ rect }));
  await frame.copyTo(data, { rect });
  // The planes of brightness come first in every format that a camera or a decoder gives here.
  const row = (height >> 1) * width;
  let bits = 0;
  for (let block = 0; block < BLOCKS; block += 1) {
    const at = row + Math.floor(((block + 0.5) * width) / BLOCKS);
    bits = bits * 2 + (data[at - 1] + data[at] + data[at + 1] > 3 * 128 ? 1 : 0);
  }
  return bits;
}

async function readLuma(frame) {
  const [width, height] = [frame.codedWidth, frame.codedHeight];
  const data = new Uint8Array(frame.allocationSize());
  await frame.copyTo(data);
  return { width, height, luma: data.subarray(0, width * height) };
}
