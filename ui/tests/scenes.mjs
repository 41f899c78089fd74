// Every moment that is looked at. `query` is for the fake backend, `act` brings the page from there to the moment, and
// of the `kept` ones there are pictures in docs/screens.

const settings = (page) => page.getByRole("button", { name: "Settings", exact: true }).click();
const phrase = async (page) => {
  await settings(page);
  await page.getByRole("button", { name: "Show the recovery phrase" }).click();
  await page.getByRole("button", { name: "I have written them down" }).scrollIntoViewIfNeeded();
  await page.getByRole("heading", { name: "Recovery phrase" }).evaluate((heading) => heading.scrollIntoView());
};
const privacy = async (page) => {
  await settings(page);
  await page.getByRole("heading", { name: "Privacy" }).evaluate((heading) => heading.scrollIntoView());
};
const restore = async (page) => {
  await page.getByRole("button", { name: "I have a recovery phrase" }).click();
  await page.getByLabel("Recovery phrase").fill("hamster diagram private dutch cause delay private meat slide");
  await page.getByRole("button", { name: "Restore the key" }).click();
  await page.getByText("these are 9").waitFor();
};
const person = (name) => (page) =>
  page
    .getByRole("button", { name: new RegExp(`^${name}`) })
    .first()
    .click();

export const scenes = [
  { name: "sign-in", kept: true, query: "screen=signIn" },
  { name: "sign-in-problem", query: "screen=signIn&with=problem" },
  { name: "sign-in-busy", query: "screen=signIn&with=busy" },
  { name: "sign-in-restore", kept: true, query: "screen=signIn", act: restore },
  { name: "sign-in-restored", query: "screen=signIn&with=restored" },
  { name: "home", kept: true, query: "screen=home" },
  { name: "home-empty", query: "screen=home&with=empty" },
  { name: "home-person", kept: true, query: "screen=home", act: person("bob") },
  {
    name: "home-new-key",
    kept: true,
    query: "screen=home&with=newkey",
    act: async (page) => {
      await person("bob")(page);
      await page.getByRole("button", { name: "Look at it" }).click();
    },
  },
  { name: "home-verified", query: "screen=home&with=verified", act: person("bob") },
  { name: "home-long", query: "screen=home&with=long,many,offline,preview,notice", act: person("wilhelmina") },
  { name: "home-preview", kept: true, query: "screen=home&with=preview" },
  { name: "home-no-camera", query: "screen=home&with=preview,nocamera" },
  { name: "home-typing", query: "screen=home", act: (page) => page.getByLabel("Call a name").fill("frank") },
  {
    name: "home-refused",
    query: "screen=home",
    act: async (page) => {
      await page.getByLabel("Call a name").fill("frank & co");
      await page.keyboard.press("Enter");
      await page.getByRole("alert").filter({ hasText: "cannot be a name" }).waitFor();
    },
  },
  { name: "settings", kept: true, query: "screen=home&with=unplugged,nodevices", act: settings },
  { name: "settings-privacy", kept: true, query: "screen=home", act: privacy },
  { name: "settings-phrase", kept: true, query: "screen=home", act: phrase },
  { name: "keys", kept: true, query: "screen=home", act: (page) => page.keyboard.press("F1") },
  { name: "incoming", kept: true, query: "screen=incoming" },
  { name: "incoming-voice", query: "screen=incoming&with=voice,guest" },
  { name: "incoming-long", query: "screen=incoming&with=long,first" },
  { name: "outgoing", query: "screen=outgoing" },
  { name: "outgoing-ringing", kept: true, query: "screen=outgoing&with=ringing,voice" },
  { name: "outgoing-offline", query: "screen=outgoing&with=offline" },
  { name: "outgoing-long", query: "screen=outgoing&with=ringing,long" },
  { name: "call", kept: true, query: "screen=call" },
  { name: "call-connecting", query: "screen=call&with=connecting" },
  { name: "call-muted", kept: true, query: "screen=call&with=muted,slow,theymuted&talking" },
  { name: "call-camera-fails", kept: true, query: "screen=call&with=camerafails" },
  { name: "call-cameras-off", kept: true, query: "screen=call&with=cameraoff,theycameraoff,theymuted,relayed" },
  { name: "call-reconnecting", query: "screen=call&with=reconnecting,notice" },
  { name: "call-long", query: "screen=call&with=long,relayed,theymuted,slow" },
  {
    name: "call-devices",
    kept: true,
    query: "screen=call",
    act: (page) => page.getByRole("button", { name: "Choose microphone" }).click(),
  },
  {
    name: "call-details",
    kept: true,
    query: "screen=call&with=relayed",
    act: (page) => page.getByRole("button", { name: "Relayed" }).click(),
  },
  {
    name: "call-verified",
    kept: true,
    query: "screen=call&with=verified",
    act: (page) => page.getByRole("button", { name: "Direct" }).click(),
  },
  {
    name: "call-guest-details",
    query: "screen=call&with=guest",
    act: (page) => page.getByRole("button", { name: "Direct" }).click(),
  },
  { name: "call-settings", query: "screen=call", act: settings },
  { name: "ended", kept: true, query: "screen=ended" },
  { name: "ended-failed", kept: true, query: "screen=ended&with=failed,short" },
  { name: "ended-refused", query: "screen=ended&with=refused,short" },
  { name: "ended-long", query: "screen=ended&with=long" },
];

export const sizes = [
  { name: "wide", kept: true, width: 1080, height: 720 },
  { name: "narrow", kept: true, width: 360, height: 640 },
  { name: "smallest", width: 320, height: 480 },
];

export const themes = ["light", "dark"];
