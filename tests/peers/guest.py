"""A Python program (aiortc) as a guest: it makes and takes calls by docs/signaling.md, and does what the test that started
it says over a WebSocket.

    guest.py DRIVE_URL CLIP.y4m SPEECH.wav

Commands are {id, command, ...} and are answered with {id, value} or {id, error}; what happens by itself is {report, ...}.
"""

import asyncio
import base64
import fractions
import json
import secrets
import sys
import time
import uuid
import wave

import aioice.ice
import websockets
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack, VideoStreamTrack
from aiortc.sdp import candidate_from_sdp
from av import AudioFrame, VideoFrame

# Both ends are on this machine, and it may have no network.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


class Camera(VideoStreamTrack):
    """Shows a Y4M file over and over; black where it is switched off."""

    def __init__(self, path):
        super().__init__()
        self.is_on = True
        self.file = open(path, "rb")
        header = self.file.readline().split()
        self.width, self.height = (int(next(f[1:] for f in header if f[:1] == kind)) for kind in (b"W", b"H"))
        self.start = self.file.tell()
        self.stride = len(b"FRAME\n") + self.width * self.height * 3 // 2

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        frame = VideoFrame(self.width, self.height, "yuv420p")
        picture = self.next_picture()
        for plane in frame.planes:
            plane.update(picture[: plane.buffer_size])
            picture = picture[plane.buffer_size :]
        frame.pts, frame.time_base = pts, time_base
        return frame

    def next_picture(self):
        picture = self.file.read(self.stride)
        if len(picture) < self.stride:
            self.file.seek(self.start)
            picture = self.file.read(self.stride)
        if not self.is_on:
            pixels = self.width * self.height
            return bytes([16]) * pixels + bytes([128]) * (pixels // 2)
        return picture[len(b"FRAME\n") :]


class Microphone(MediaStreamTrack):
    """Says a WAV file over and over; nothing where it is muted."""

    kind = "audio"

    def __init__(self, path):
        super().__init__()
        self.is_on = True
        with wave.open(path) as file:
            self.rate_hz = file.getframerate()
            self.samples = file.readframes(file.getnframes())
        self.at = 0
        self.pts = 0
        self.began = None

    async def recv(self):
        count = self.rate_hz // 50
        self.began = self.began or time.monotonic()
        await asyncio.sleep(max(0, self.began + self.pts / self.rate_hz - time.monotonic()))
        block = (self.samples[self.at :] + self.samples)[: 2 * count]
        self.at = (self.at + 2 * count) % len(self.samples)
        frame = AudioFrame("s16", "mono", count)
        frame.planes[0].update(block if self.is_on else bytes(2 * count))
        frame.sample_rate = self.rate_hz
        frame.pts, frame.time_base = self.pts, fractions.Fraction(1, self.rate_hz)
        self.pts += count
        return frame


class Receiver:
    """Takes what comes on a track, and hands the next of it to whoever waits."""

    def __init__(self, track):
        self.frames = 0
        self.listeners = set()
        self.task = asyncio.create_task(self.run(track))

    async def run(self, track):
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self.frames += 1
            for listener in self.listeners:
                listener.put_nowait(frame)

    async def next(self, count):
        listener = asyncio.Queue()
        self.listeners.add(listener)
        frames = [await listener.get() for _ in range(count)]
        self.listeners.remove(listener)
        return frames


class Call:
    """One call, from either side."""

    def __init__(self, guest, call, is_caller, user, other=None):
        self.guest, self.id, self.is_caller, self.user, self.other = guest, call, is_caller, user, other
        self.next_n, self.seen_n = 0, -1
        self.offered = None
        self.ended = False
        self.sending = {"audio": True, "video": True, "screen": False}
        self.seen = set()
        self.early = []
        self.receivers = {}
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pc.on("connectionstatechange", lambda: guest.tell(self.pc.connectionState))
        self.pc.on("track", self.take_track)
        self.control = self.pc.createDataChannel("control", negotiated=True, id=0)
        self.control.on("open", self.control_opened)
        self.control.on("message", lambda text: guest.take(json.loads(text)))

    def control_opened(self):
        self.tell_sending()
        self.guest.tell("control_open")

    def take_track(self, track):
        # The second video is the screen's.
        if track.kind not in self.receivers:
            self.receivers[track.kind] = Receiver(track)

    def add_tracks(self, video, codec):
        self.microphone, self.camera = Microphone(self.guest.speech), Camera(self.guest.clip) if video else None
        self.sending["video"] = video
        self.pc.addTransceiver(self.microphone)
        if video:
            self.only_codec(self.pc.addTransceiver(self.camera), codec)
            if self.is_caller:
                self.only_codec(self.pc.addTransceiver("video", direction="recvonly"), codec)

    def only_codec(self, transceiver, codec):
        wanted = (f"video/{codec}", "video/rtx")
        codecs = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([known for known in codecs if known.mimeType in wanted])

    async def dial(self, video, codec):
        self.add_tracks(video, codec)
        await self.make_offer(video=video)

    async def accept(self, offer, video, codec):
        self.progress("accepted", video=video)
        self.add_tracks(video, codec)
        await self.answer(offer)

    async def answer(self, offer):
        self.seen_n = offer["n"]
        await self.pc.setRemoteDescription(RTCSessionDescription(offer["sdp"], "offer"))
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        self.say(type="answer", n=offer["n"], sdp=self.pc.localDescription.sdp)
        await self.add_early_candidates()

    async def make_offer(self, **more):
        await self.pc.setLocalDescription(await self.pc.createOffer())
        self.offered = (self.next_n, asyncio.get_running_loop().create_future())
        self.next_n += 1
        self.say(type="offer", n=self.offered[0], sdp=self.pc.localDescription.sdp, **more)
        return self.offered[1]

    async def hold(self, held):
        for transceiver in self.pc.getTransceivers()[:2]:
            transceiver.direction = "inactive" if held else "sendrecv"
        await (await self.make_offer())

    def mute(self, audio, video):
        self.sending.update(audio=not audio, video=not video)
        self.microphone.is_on = not audio
        if self.camera:
            self.camera.is_on = not video
        self.tell_sending()

    def hang_up(self):
        self.say(type="close", reason="hangup")
        self.end("hangup")

    def end(self, reason):
        if not self.ended:
            self.ended = True
            self.guest.tell("ended", reason=reason)
            asyncio.get_running_loop().call_later(0.2, lambda: asyncio.create_task(self.pc.close()))

    async def take(self, message):
        if self.ended or (self.other and message.get("from", self.other) != self.other):
            return
        kind = message["type"]
        if kind == "progress":
            self.take_progress(message)
        elif kind == "offer":
            # Of two offers at once the caller's stands. This library cannot take its own back: a test makes no such.
            if message["n"] > self.seen_n and not self.offered:
                await self.answer(message)
        elif kind == "answer":
            if self.offered and message["n"] == self.offered[0]:
                self.other = self.other or message["from"]
                done, self.offered = self.offered[1], None
                await self.pc.setRemoteDescription(RTCSessionDescription(message["sdp"], "answer"))
                await self.add_early_candidates()
                done.set_result(None)
        elif kind == "candidate":
            await self.take_candidate(message["candidate"])
        elif kind == "media":
            self.guest.tell("media", media=message)
        elif kind == "relayed":
            self.guest.tell("relayed")
        elif kind == "close" and message["reason"] != "answered_elsewhere":
            self.end(message["reason"])
        elif kind == "error":
            self.guest.tell("failed", message=message["message"])

    def take_progress(self, message):
        if message["state"] == "accepted" and self.is_caller and not self.other:
            self.other = message["from"]
            by = {"reason": "answered_elsewhere", "by": self.other}
            self.guest.send({"type": "close", "call": self.id, "to": self.user, **by})
        self.guest.tell(message["state"], by=message["from"])

    async def take_candidate(self, candidate):
        # The end of them says nothing to this library.
        if candidate["candidate"] and candidate["candidate"] not in self.seen:
            self.seen.add(candidate["candidate"])
            self.early.append(candidate)
            await self.add_early_candidates()

    async def add_early_candidates(self):
        if self.pc.remoteDescription:
            early, self.early = self.early, []
            for candidate in early:
                parsed = candidate_from_sdp(candidate["candidate"].split(":", 1)[1])
                parsed.sdpMid, parsed.sdpMLineIndex = candidate.get("sdpMid"), candidate.get("sdpMLineIndex")
                await self.pc.addIceCandidate(parsed)

    def progress(self, state, **more):
        self.guest.send({"type": "progress", "call": self.id, "to": self.other, "state": state, **more})

    def say(self, **message):
        """Over the server, and once there is one over the control channel too."""
        message["call"] = self.id
        self.guest.send({**message, "to": self.other or self.user})
        if self.control.readyState == "open":
            self.control.send(json.dumps(message))

    def tell_sending(self):
        if self.control.readyState == "open":
            self.control.send(json.dumps({"type": "media", **self.sending}))

    async def stats(self):
        figures = {}
        report = (await self.pc.getStats()).values()
        for way, packets in (("inbound", "packetsReceived"), ("outbound", "packetsSent")):
            for kind in ("audio", "video"):
                streams = [entry for entry in report if entry.type == f"{way}-rtp" and entry.kind == kind]
                count = sum(getattr(entry, packets) for entry in streams)
                figures[f"{way}_{kind}"] = {
                    "codec": f"{kind}/{self.codec(kind)}" if count else None,
                    "packets": count,
                    # Of what it sends, this library counts packets alone.
                    "frames": count if way == "outbound" else self.received(kind),
                }
        return figures

    def received(self, kind):
        return self.receivers[kind].frames if kind in self.receivers else 0

    def codec(self, kind):
        """The first codec of the section in the negotiated description, the only one that is used."""
        section = self.pc.remoteDescription.sdp.split(f"m={kind} ", 1)[1].split("\r\nm=", 1)[0]
        return section.split("a=rtpmap:", 1)[1].split(" ", 1)[1].split("/", 1)[0]


class Guest:
    """The program: the test on one side, the signaling server on the other."""

    def __init__(self, drive, clip, speech):
        self.drive, self.clip, self.speech = drive, clip, speech
        self.server = None
        self.call = None
        # What to do with the next call that comes in.
        self.plan = None
        self.inbox = asyncio.Queue()
        self.outbox = asyncio.Queue()

    async def run(self):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.work())
            tasks.create_task(self.write())
            async for text in self.drive:
                tasks.create_task(self.obey(json.loads(text)))
            # The test is over.
            sys.exit()

    async def obey(self, command):
        number, name = command.pop("id"), command.pop("command")
        try:
            value = await getattr(self, f"do_{name}")(**command)
            answer = {"id": number, "value": value}
        except Exception as error:  # The test is to know, whatever it is.
            answer = {"id": number, "error": f"{name}: {error!r}"}
        self.outbox.put_nowait((self.drive, answer))

    async def do_sign_in(self, server, username):
        self.server = await websockets.connect(server, max_size=70_000)
        json.loads(await self.server.recv())
        session = secrets.token_hex(8)
        self.send({"type": "login", "protocol": 1, "username": username, "session": session})
        welcome = json.loads(await self.server.recv())
        assert welcome["type"] == "welcome", welcome
        self.listener = asyncio.create_task(self.listen())
        return {"address": f"{username}/{session}"}

    async def do_call(self, to, video, codec):
        self.call = Call(self, str(uuid.uuid4()), True, to)
        await self.call.dial(video, codec)
        return {"call": self.call.id}

    async def do_answer(self, video, codec):
        self.plan = (video, codec)

    async def do_mute(self, audio, video):
        self.call.mute(audio, video)

    async def do_hold(self, held):
        await self.call.hold(held)

    async def do_hang_up(self):
        self.call.hang_up()

    async def do_stats(self):
        return await self.call.stats()

    async def do_look(self):
        [frame] = await self.call.receivers["video"].next(1)
        plane = frame.planes[0]
        rows, stride = bytes(plane), plane.line_size
        luma = b"".join(rows[row * stride : row * stride + frame.width] for row in range(frame.height))
        return {"width": frame.width, "height": frame.height, "luma": base64.b64encode(luma).decode()}

    async def do_hear(self, seconds):
        frames = await self.call.receivers["audio"].next(50 * seconds)
        # Two channels that are the same, and perhaps room behind the samples.
        pairs = b"".join(bytes(frame.planes[0])[: 4 * frame.samples] for frame in frames)
        left = b"".join(pairs[at : at + 2] for at in range(0, len(pairs), 4))
        return {"rate_hz": frames[0].sample_rate, "samples": base64.b64encode(left).decode()}

    async def listen(self):
        async for text in self.server:
            self.take(json.loads(text))

    def take(self, message):
        self.inbox.put_nowait(message)

    async def work(self):
        """Messages about the call, one after the other, as they came."""
        while True:
            message = await self.inbox.get()
            try:
                await self.handle(message)
            except Exception as error:  # The test is to know, whatever it is.
                self.tell("failed", message=f"{message['type']}: {error!r}")

    async def handle(self, message):
        if message["type"] == "offer" and "devices" in message:
            user = message["from"].split("/")[0]
            self.call = Call(self, message["call"], False, user, message["from"])
            self.tell("incoming", **{"from": message["from"], "video": message["video"]})
            self.call.progress("ringing")
            await self.call.accept(message, *self.plan)
        elif self.call and message.get("call", self.call.id) == self.call.id:
            await self.call.take(message)

    def send(self, message):
        self.outbox.put_nowait((self.server, message))

    def tell(self, report, **more):
        self.outbox.put_nowait((self.drive, {**more, "report": report}))

    async def write(self):
        while True:
            socket, message = await self.outbox.get()
            await socket.send(json.dumps(message))


async def main(drive_url, clip, speech):
    async with websockets.connect(drive_url, max_size=None) as drive:
        await Guest(drive, clip, speech).run()


asyncio.run(main(*sys.argv[1:]))
