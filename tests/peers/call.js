// One call by docs/signaling.md, as a guest makes or takes it: a peer connection of the browser's, and the words that are
// exchanged about it. It signs nothing, and knows nothing of cameras and of the test.

export class Call {
  #serverSend;
  #tell;
  #codec;
  #work = Promise.resolve();
  #nextN = 0;
  #seenN = -1;
  #restartedAfter = -1;
  // The own offer that waits for its answer.
  #offered = null;
  #settled = false;
  // Candidates whose description is not set yet.
  #early = [];
  #seenCandidates = new Set();
  #sending = { audio: true, video: true, screen: false };

  // `other` is the full address of the other side, once it is known; `codec` the only video codec to be used, null for the
  // browser's own choice.
  constructor({ id, isCaller, user, other = null, codec, serverSend, tell }) {
    Object.assign(this, { id, isCaller, user, other });
    this.#serverSend = serverSend;
    this.#tell = tell;
    this.#codec = codec;
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.pc = pc;
    pc.onicecandidate = ({ candidate }) => candidate && this.#sendCandidate(candidate);
    pc.onconnectionstatechange = () => this.#tell(pc.connectionState);
    pc.ontrack = ({ track, transceiver }) => this.onTrack?.(track, transceiver);
    this.control = pc.createDataChannel("control", { negotiated: true, id: 0 });
    this.control.onopen = () => {
      this.#tellSending();
      this.#tell("control_open");
    };
    this.control.onmessage = ({ data }) => this.#hear(JSON.parse(data));
  }

  // Sends the opening offer. Without a picture it has fewer sections than the contract names.
  async dial({ microphone, camera }) {
    this.pc.addTransceiver(microphone ?? "audio", { direction: microphone ? "sendrecv" : "recvonly" });
    if (camera) {
      this.#onlyCodec(this.pc.addTransceiver(camera, { direction: "sendrecv" }));
      this.#onlyCodec(this.pc.addTransceiver("video", { direction: "recvonly" }));
    }
    this.#willSend(microphone, camera);
    await this.#makeOffer({ video: Boolean(camera) });
  }

  // Accepts the opening offer and answers it.
  async accept(offer, { microphone, camera }) {
    this.#progress("accepted", { video: Boolean(camera) });
    this.#seenN = offer.n;
    await this.pc.setRemoteDescription({ type: "offer", sdp: offer.sdp });
    const [audio, video] = this.pc.getTransceivers();
    for (const [transceiver, track] of [[audio, microphone], [video, camera]]) {
      if (!transceiver || !track) continue;
      await transceiver.sender.replaceTrack(track);
      transceiver.direction = "sendrecv";
    }
    this.pc.getTransceivers().filter(isVideo).forEach((transceiver) => this.#onlyCodec(transceiver));
    this.#willSend(microphone, camera);
    await this.pc.setLocalDescription();
    this.#say({ type: "answer", n: offer.n, sdp: this.pc.localDescription.sdp });
    this.#settled = true;
    await this.#addEarlyCandidates();
  }

  ring() {
    this.#progress("ringing");
  }

  // Says what is sent now, and sends it.
  mute({ audio, video }) {
    this.#sending = { ...this.#sending, audio: !audio, video: !video };
    for (const { sender } of this.pc.getTransceivers()) {
      if (sender.track) sender.track.enabled = this.#sending[sender.track.kind];
    }
    this.#tellSending();
  }

  // Media stop both ways, or come back, by an offer of this side. Done when it is answered.
  async hold(isHeld) {
    const [audio, camera] = this.pc.getTransceivers();
    for (const transceiver of [audio, camera]) {
      if (transceiver) transceiver.direction = isHeld ? "inactive" : "sendrecv";
    }
    await this.#renegotiate();
  }

  // A new path. Done when it is agreed on.
  async restartIce() {
    const before = this.#remoteUfrag();
    if (this.isCaller) {
      this.pc.restartIce();
      await this.#renegotiate();
    } else {
      const answered = new Promise((resolve) => (this.onAnswered = resolve));
      this.#say({ type: "restart", n: this.#seenN });
      await answered;
    }
    return { before, after: this.#remoteUfrag() };
  }

  hangUp() {
    this.#say({ type: "close", reason: "hangup" });
    this.end("hangup");
  }

  end(reason) {
    if (this.hasEnded) return;
    this.hasEnded = true;
    for (const { track } of this.pc.getSenders()) track?.stop();
    // What was said last must leave before the connection closes.
    setTimeout(() => this.pc.close(), 200);
    this.#tell("ended", { reason });
  }

  // A message of the server's about this call. One after the other, as they came.
  handle(message) {
    if (message.from && this.other && message.from !== this.other) return;
    this.#hear(message);
  }

  #hear(message) {
    if (message.call && message.call !== this.id) return;
    const failed = (error) => this.#tell("failed", { message: `${message.type}: ${error}` });
    this.#work = this.#work.then(() => !this.hasEnded && this.#take(message)).catch(failed);
  }

  #take(message) {
    switch (message.type) {
      case "relayed":
        return this.#tell("relayed");
      case "progress":
        return this.#takeProgress(message);
      case "accepted":
        return undefined;
      case "offer":
        return this.#takeOffer(message);
      case "answer":
        return this.#takeAnswer(message);
      case "candidate":
        return this.#takeCandidate(message.candidate);
      case "restart":
        return this.#takeRestart(message);
      case "media":
        return this.#tell("media", { media: message });
      case "close":
        return message.reason === "answered_elsewhere" ? undefined : this.end(message.reason);
      case "error":
        return this.#tell("failed", { message: message.message });
    }
  }

  #takeProgress({ state, from, video }) {
    if (state === "accepted" && this.isCaller && !this.other) {
      this.other = from;
      this.#serverSend({ type: "close", call: this.id, to: this.user, reason: "answered_elsewhere", by: from });
    }
    this.#tell(state, { by: from, video });
  }

  async #takeOffer({ n, sdp }) {
    if (n <= this.#seenN) return;
    this.#seenN = n;
    // Both made an offer at once: the caller's stands, the callee's is taken back and made again.
    if (this.#offered && this.isCaller) return;
    const again = this.#offered;
    this.#offered = null;
    await this.pc.setRemoteDescription({ type: "offer", sdp });
    await this.pc.setLocalDescription();
    this.#say({ type: "answer", n, sdp: this.pc.localDescription.sdp });
    await this.#addEarlyCandidates();
    this.onAnswered?.();
    if (again) {
      await this.#makeOffer();
      this.#offered.done = again.done;
    }
  }

  async #takeAnswer({ n, sdp, from }) {
    if (this.#offered?.n !== n) return;
    const { done } = this.#offered;
    this.#offered = null;
    this.other ??= from;
    await this.pc.setRemoteDescription({ type: "answer", sdp });
    this.#settled = true;
    await this.#addEarlyCandidates();
    done?.();
  }

  async #takeCandidate(candidate) {
    const name = JSON.stringify(candidate);
    if (this.#seenCandidates.has(name)) return;
    this.#seenCandidates.add(name);
    this.#early.push(candidate);
    await this.#addEarlyCandidates();
  }

  async #addEarlyCandidates() {
    const ufrag = this.#remoteUfrag();
    const fits = (candidate) => candidate.usernameFragment === ufrag;
    const now = this.#early.filter(fits);
    this.#early = this.#early.filter((candidate) => !fits(candidate));
    for (const candidate of now) await this.pc.addIceCandidate(candidate);
  }

  async #takeRestart({ n }) {
    if (!this.isCaller || n !== this.#nextN - 1 || this.#restartedAfter === n) return;
    this.#restartedAfter = n;
    this.pc.restartIce();
    await this.#makeOffer();
  }

  async #renegotiate() {
    const answered = new Promise((done) => {
      this.#work = this.#work.then(async () => {
        await this.#makeOffer();
        this.#offered.done = done;
      });
    });
    await answered;
  }

  async #makeOffer(more = {}) {
    await this.pc.setLocalDescription(await this.pc.createOffer());
    const n = this.#nextN++;
    this.#offered = { n };
    this.#say({ type: "offer", n, sdp: this.pc.localDescription.sdp, ...more });
  }

  #sendCandidate({ candidate, sdpMid, sdpMLineIndex, usernameFragment }) {
    this.#say({ type: "candidate", candidate: { candidate, sdpMid, sdpMLineIndex, usernameFragment } });
  }

  #progress(state, more = {}) {
    this.#serverSend({ type: "progress", call: this.id, to: this.other, state, ...more });
  }

  // Over the server, and once there is one over the control channel too.
  #say(message) {
    const to = this.#settled || !this.isCaller ? this.other : this.user;
    this.#serverSend({ ...message, call: this.id, to });
    if (this.control.readyState === "open") this.control.send(JSON.stringify({ ...message, call: this.id }));
  }

  #willSend(microphone, camera) {
    this.#sending = { ...this.#sending, audio: Boolean(microphone), video: Boolean(camera) };
  }

  #tellSending() {
    if (this.control.readyState === "open") this.control.send(JSON.stringify({ type: "media", ...this.#sending }));
  }

  #remoteUfrag() {
    return /^a=ice-ufrag:(.*)$/m.exec(this.pc.remoteDescription?.sdp ?? "")?.[1].trim();
  }

  #onlyCodec(transceiver) {
    if (!this.#codec) return;
    const wanted = [`video/${this.#codec}`, "video/rtx"];
    const { codecs } = RTCRtpReceiver.getCapabilities("video");
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => wanted.includes(mimeType)));
  }
}

function isVideo(transceiver) {
  return transceiver.receiver.track.kind === "video";
}
