// The two ways by which pictures come: a WebSocket to the program, and a channel of the window where no socket opens.

import { Channel, invoke } from "@tauri-apps/api/core";

import type { FramesAddress } from "../bindings/FramesAddress";
import type { Hello } from "../bindings/Hello";
import type { PageMessage } from "../bindings/PageMessage";
import type { Showing } from "../bindings/Showing";
import type { View } from "../bindings/View";

/** An open way for the pictures of one view. */
export interface Line {
  say(message: PageMessage): void;
  /** After this, nothing is heard of it. */
  close(): void;
}

/** What becomes of a line. */
export interface Listener {
  picture(message: ArrayBuffer): void;
  /** It is gone, though nobody closed it. */
  lost(): void;
}

/** A socket that has not opened by then will not: it is on this machine. */
const OPEN_DEADLINE_MS = 1_000;

/** Opens the socket. Fails where that takes too long or is not allowed. */
export function openSocket(address: FramesAddress, view: View, showing: Showing, listener: Listener): Promise<Line> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${address.port}/`);
    socket.binaryType = "arraybuffer";
    const silence = (): void => {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    };
    const fail = (): void => {
      clearTimeout(deadline);
      silence();
      reject(new Error("the socket for pictures does not open"));
    };
    const deadline = setTimeout(fail, OPEN_DEADLINE_MS);
    socket.onclose = fail;
    socket.onopen = () => {
      clearTimeout(deadline);
      socket.onclose = () => listener.lost();
      const hello: Hello = { token: address.token, view, showing };
      socket.send(JSON.stringify(hello));
      resolve({ say: (message) => socket.send(JSON.stringify(message)), close: silence });
    };
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) listener.picture(data);
    };
  });
}

/** Opens a channel of the window. Slower than the socket, and through the thread that also draws the window. */
export async function openChannel(view: View, showing: Showing, listener: Listener): Promise<Line> {
  const pictures = new Channel<ArrayBuffer>();
  let open = true;
  pictures.onmessage = (message) => {
    if (open) listener.picture(message);
  };
  const line = await invoke<unknown>("frames_by_channel", { view, showing, pictures });
  const say = (message: PageMessage): void => {
    invoke("frames_hear", { line, message }).catch(() => {
      if (!open) return;
      open = false;
      listener.lost();
    });
  };
  return {
    say,
    close() {
      say({ kind: "showing", showing: { ...showing, widthPx: 0, heightPx: 0 } });
      open = false;
    },
  };
}
