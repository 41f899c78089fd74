// The relay of docs/signaling.md on Node's `ws`, for `cargo xtask bench signaling`: hello, login, welcome, and
// messages of calls from one address to another. It does for each what ahoy-server does, as somebody would write it
// who knows Node. It has no limits, presence, missed calls or opened calls, keeps names only in memory, and does not
// see repeated JSON members.
'use strict';

const { createPublicKey, randomBytes, verify } = require('node:crypto');
const { WebSocketServer } = require('ws');

const NAME = /^[a-z0-9][a-z0-9._-]{0,31}$/;
const SESSION = /^[0-9a-f]{16}$/;
const CALL = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const PING_MS = 15_000;
const SILENCE_MS = 40_000;

/** What a message of a call must hold besides `call` and `to`. */
const SIGNALS = {
  offer: (message) => Number.isInteger(message.n) && typeof message.sdp === 'string',
  answer: (message) => Number.isInteger(message.n) && typeof message.sdp === 'string',
  progress: (message) => typeof message.state === 'string',
  restart: (message) => Number.isInteger(message.n),
  close: (message) => typeof message.reason === 'string',
  candidate: ({ candidate }) =>
    typeof candidate === 'object' && candidate !== null && typeof candidate.candidate === 'string',
};

/** By username, the key that the name belongs to. */
const accounts = new Map();
/** By username, a map from each session to its client. */
const users = new Map();

class Client {
  constructor(socket) {
    this.socket = socket;
    this.challenge = randomBytes(32);
    this.username = null;
    this.session = null;
    this.seq = 0;
    this.heardAt = Date.now();
    socket.on('message', (data, isBinary) => this.hear(data, isBinary));
    socket.on('pong', () => (this.heardAt = Date.now()));
    socket.on('close', () => this.signOut());
    socket.on('error', () => {});
    const challenge = this.challenge.toString('base64url');
    this.say({ type: 'hello', protocols: [1], server: 'node-ws', challenge, guests: true });
  }

  say(message) {
    this.socket.send(JSON.stringify(message));
  }

  /** The same, of a message that counts in its session. */
  deliver(message) {
    this.seq += 1;
    message.seq = this.seq;
    this.socket.send(JSON.stringify(message));
  }

  /** Whichever it is by now. */
  answer(message) {
    if (this.username === null) this.say(message);
    else this.deliver(message);
  }

  refuse(code, message, call) {
    this.answer({ type: 'error', code, message, call });
  }

  hear(data, isBinary) {
    this.heardAt = Date.now();
    let message = null;
    try {
      if (!isBinary) message = JSON.parse(data);
    } catch {
      // Refused below.
    }
    if (typeof message !== 'object' || message === null || typeof message.type !== 'string') {
      this.refuse('bad_message', 'a message is a JSON object with a type');
    } else if (message.type === 'login') this.login(message);
    else if (message.type === 'ping') this.answer({ type: 'pong' });
    else if (!Object.hasOwn(SIGNALS, message.type)) this.refuse('unknown_type', 'no such type');
    else if (this.username === null) this.refuse('not_signed_in', 'sign in first', message.call);
    else this.relay(message);
  }

  login(message) {
    const { username, session } = message;
    if (this.username !== null) return this.refuse('bad_message', 'already signed in on this connection');
    if (message.protocol !== 1) return this.refuse('unsupported_protocol', 'this server speaks version 1');
    if (typeof username !== 'string' || !NAME.test(username)) return this.refuse('bad_username', 'no username');
    if (typeof session !== 'string' || !SESSION.test(session)) return this.refuse('bad_message', 'no session');
    const isGuest = username.startsWith('guest-');
    if (!isGuest && !this.isProven(message)) return this.refuse('bad_signature', 'the signature is wrong');
    if (isGuest && users.has(username)) return this.refuse('username_taken', 'another guest has this name');
    const sessions = users.get(username) ?? new Map();
    users.set(username, sessions);
    const earlier = sessions.get(session);
    sessions.set(session, this);
    earlier?.socket.close(4001);
    this.username = username;
    this.session = session;
    this.from = `${username}/${session}`;
    const resume = randomBytes(32).toString('base64url');
    this.say({ type: 'welcome', username, session, resumed: false, received: 0, resume, linger_s: 0, ice_servers: [] });
  }

  /** Whether the signature is of the key that the name belongs to; a free name belongs to the first. */
  isProven({ username, session, host, key, signature }) {
    if (typeof host !== 'string' || typeof key !== 'string' || typeof signature !== 'string') return false;
    const account = accounts.get(username);
    if (account !== undefined && account.text !== key) return false;
    try {
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: key };
      const publicKey = account?.publicKey ?? createPublicKey({ key: jwk, format: 'jwk' });
      const start = Buffer.from(`ahoy-login-v1\0${host}\0`);
      const statement = Buffer.concat([start, this.challenge, Buffer.from(`\0${username}\0${session}`)]);
      if (!verify(null, statement, publicKey, Buffer.from(signature, 'base64url'))) return false;
      if (account === undefined) accounts.set(username, { text: key, publicKey });
      return true;
    } catch {
      return false;
    }
  }

  relay(message) {
    const { call, to } = message;
    if (typeof call !== 'string' || !CALL.test(call) || typeof to !== 'string' || !SIGNALS[message.type](message)) {
      return this.refuse('bad_message', 'a member is missing or wrong', call);
    }
    const slash = to.indexOf('/');
    const username = slash < 0 ? to : to.slice(0, slash);
    const session = slash < 0 ? null : to.slice(slash + 1);
    if (!NAME.test(username) || (session !== null && !SESSION.test(session))) {
      return this.refuse('bad_message', 'no address', call);
    }
    if (username === this.username) return this.refuse('bad_message', 'nobody calls himself', call);
    message.from = this.from;
    // What the sender does not stamp; JSON leaves these out.
    message.to = message.devices = message.age_ms = undefined;
    const sessions = users.get(username);
    if (session === null) {
      for (const client of sessions?.values() ?? []) client.deliver(message);
      return undefined;
    }
    const client = sessions?.get(session);
    if (client === undefined) return this.refuse('offline', 'no longer signed in with that device', call);
    return client.deliver(message);
  }

  signOut() {
    clients.delete(this);
    const sessions = users.get(this.username);
    if (sessions?.get(this.session) !== this) return;
    sessions.delete(this.session);
    if (sessions.size === 0) users.delete(this.username);
  }
}

const clients = new Set();
// The port may be named.
const port = Number(process.argv[2] ?? 0);
const server = new WebSocketServer({ host: '127.0.0.1', port, path: '/ws', maxPayload: 64 * 1024, backlog: 1024 });
server.on('connection', (socket) => clients.add(new Client(socket)));
server.on('listening', () => console.log(`listening on ws://127.0.0.1:${server.address().port}/ws`));

setInterval(() => {
  const now = Date.now();
  for (const client of clients) {
    if (now - client.heardAt >= SILENCE_MS) client.socket.terminate();
    else client.socket.ping(String(client.seq));
  }
}, PING_MS);
