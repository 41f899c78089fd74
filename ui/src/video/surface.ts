// Canvases that raw pictures are drawn on: RGBA by the processor, I420 by the graphics processor. A canvas is for one of
// them, for good.

import type { Picture } from "./wire";

export interface Surface {
  readonly canvas: HTMLCanvasElement;
  draw(picture: Picture): void;
}

/** Gives the canvas the picture's size, which clears it, only where that changes. */
export function fit(canvas: HTMLCanvasElement, width: number, height: number): boolean {
  if (canvas.width === width && canvas.height === height) return false;
  canvas.width = width;
  canvas.height = height;
  return true;
}

export function rgbaSurface(): Surface {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { alpha: false });
  if (context === null) throw new Error("this web view has no canvas");
  return {
    canvas,
    draw({ data, width, height }) {
      fit(canvas, width, height);
      const pixels = new Uint8ClampedArray(data.buffer, data.byteOffset, data.length);
      context.putImageData(new ImageData(pixels, width, height), 0, 0);
    },
  };
}

const VERTICES = `
attribute vec2 corner;
varying vec2 at;
void main() {
  at = vec2(corner.x + 1.0, 1.0 - corner.y) / 2.0;
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

// BT.601, video range.
const COLOURS = `
precision mediump float;
varying vec2 at;
uniform sampler2D y, u, v;
void main() {
  float bright = 1.164384 * (texture2D(y, at).r - 0.062745);
  float blue = texture2D(u, at).r - 0.501961;
  float red = texture2D(v, at).r - 0.501961;
  gl_FragColor = vec4(bright + 1.596027 * red, bright - 0.391762 * blue - 0.812968 * red, bright + 2.017232 * blue, 1.0);
}`;

/** `null` where there is no WebGL. */
export function i420Surface(): Surface | null {
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl", { alpha: false, antialias: false, depth: false, desynchronized: true });
  const program = gl === null ? null : link(gl);
  if (gl === null || program === null) return null;
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
  const corner = gl.getAttribLocation(program, "corner");
  gl.enableVertexAttribArray(corner);
  gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  ["y", "u", "v"].forEach((name, unit) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.uniform1i(gl.getUniformLocation(program, name), unit);
  });
  return {
    canvas,
    draw({ data, width, height }) {
      const resized = fit(canvas, width, height);
      if (resized) gl.viewport(0, 0, width, height);
      const luma = width * height;
      const planes = [
        { unit: gl.TEXTURE0, from: 0, width, height },
        { unit: gl.TEXTURE1, from: luma, width: width / 2, height: height / 2 },
        { unit: gl.TEXTURE2, from: (luma * 5) / 4, width: width / 2, height: height / 2 },
      ];
      for (const plane of planes) {
        const bytes = data.subarray(plane.from, plane.from + plane.width * plane.height);
        gl.activeTexture(plane.unit);
        if (resized) {
          const { LUMINANCE, UNSIGNED_BYTE } = gl;
          gl.texImage2D(gl.TEXTURE_2D, 0, LUMINANCE, plane.width, plane.height, 0, LUMINANCE, UNSIGNED_BYTE, bytes);
        } else {
          const { TEXTURE_2D, LUMINANCE, UNSIGNED_BYTE } = gl;
          gl.texSubImage2D(TEXTURE_2D, 0, 0, 0, plane.width, plane.height, LUMINANCE, UNSIGNED_BYTE, bytes);
        }
      }
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    },
  };
}

function link(gl: WebGLRenderingContext): WebGLProgram | null {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTICES],
    [gl.FRAGMENT_SHADER, COLOURS],
  ] as const) {
    const shader = gl.createShader(kind);
    if (shader === null) return null;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  return gl.getProgramParameter(program, gl.LINK_STATUS) === true ? program : null;
}
