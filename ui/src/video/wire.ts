// Reads what the program sends for each picture: 16 bytes and the picture. The format is described in its other half,
// `crates/app/src/frames/wire.rs`.

export type Form = "rgba" | "i420" | "vp8" | "h264";

export interface Picture {
  form: Form;
  /** A decoder may begin here. */
  key: boolean;
  /** Pixels; 0 of an encoded picture, whose data says it. */
  width: number;
  height: number;
  /** What the program is answered with. */
  sequence: number;
  /** The RTP time stamp. */
  rtp: number;
  data: Uint8Array<ArrayBuffer>;
}

const HEADER_LEN = 16;
const MAGIC = 0xaf;
const VERSION = 1;
const FORMS: readonly Form[] = ["rgba", "i420", "vp8", "h264"];

/** The picture in a message; `null` if it is none. */
export function readPicture(message: ArrayBuffer): Picture | null {
  if (message.byteLength < HEADER_LEN) return null;
  const header = new DataView(message, 0, HEADER_LEN);
  const form = FORMS[header.getUint8(2)];
  if (header.getUint8(0) !== MAGIC || header.getUint8(1) !== VERSION || form === undefined) return null;
  const width = header.getUint16(4);
  const height = header.getUint16(6);
  const data = new Uint8Array(message, HEADER_LEN);
  if (form === "rgba" && data.length !== width * height * 4) return null;
  if (form === "i420" && data.length !== (width * height * 3) / 2) return null;
  return {
    form,
    key: (header.getUint8(3) & 1) === 1,
    width,
    height,
    sequence: header.getUint32(8),
    rtp: header.getUint32(12),
    data,
  };
}
