// What the page does, as sentences. Each uses it by keyboard and pointer and looks at what a person or a screen reader
// would get, or at what was sent.

import assert from "node:assert/strict";

const sent = (page) => page.evaluate(() => window.ahoySent.filter(({ kind }) => kind !== "refreshDevices"));
const forget = (page) => page.evaluate(() => void (window.ahoySent.length = 0));
const screen = (page, kind) => page.waitForSelector(`[data-screen=${kind}]`);
const show = (page, change) => page.evaluate(change);

/** Runs one behaviour on a fresh page, and fails if the page complained meanwhile. */
const on =
  (query, use, context = {}) =>
  async (open) => {
    const { page, complaints } = await open(query, context);
    try {
      await use(page);
      assert.deepEqual(complaints, []);
    } finally {
      await page.close();
    }
  };

/** Each on a page of its own. */
const each =
  (...behaviours) =>
  async (open) => {
    for (const behaviour of behaviours) await behaviour(open);
  };

const shortcut = (query, key, expected) =>
  on(query, async (page) => {
    await forget(page);
    await page.keyboard.press(key);
    assert.deepEqual(await sent(page), expected, `${key} on ${query}`);
  });

export const behaviours = {
  "somebody signs in, calls, mutes and hangs up with nothing but a keyboard": on(
    "screen=signIn&with=fresh",
    async (page) => {
      await page.keyboard.type("alice");
      await page.keyboard.press("Enter");
      await screen(page, "home");
      await page.keyboard.type("bob");
      await page.keyboard.press("Enter");
      await screen(page, "outgoing");
      await page.getByText("Ringing on work laptop").first().waitFor();
      await screen(page, "call");
      await page.getByRole("img", { name: "bob’s picture" }).waitFor();
      await page.keyboard.press("m");
      await page.getByRole("button", { name: "Mute microphone", pressed: true }).waitFor();
      await page.keyboard.press("Control+Shift+E");
      await screen(page, "home");
    },
  ),

  "Enter calls with picture and Shift+Enter without": each(
    on("screen=home", async (page) => {
      await page.keyboard.type(" Frank ");
      await page.keyboard.press("Enter");
      assert.deepEqual(await sent(page), [{ kind: "dial", username: "Frank", video: true }]);
    }),
    on("screen=home", async (page) => {
      await page.keyboard.type("frank");
      await page.keyboard.press("Shift+Enter");
      assert.deepEqual(await sent(page), [{ kind: "dial", username: "frank", video: false }]);
    }),
  ),

  "who dials while the server is away is told so": on("screen=outgoing&with=offline", async (page) => {
    await page.getByText("calls.example.org does not answer. The call goes out as soon as it is back.").waitFor();
  }),

  "an empty field calls nobody": on("screen=home", async (page) => {
    await page.keyboard.press("Enter");
    assert.deepEqual(await sent(page), []);
  }),

  "a person in the list is called by button, and looked at by choosing": on("screen=home", async (page) => {
    await page.getByRole("button", { name: /^carol/ }).click();
    await page.getByRole("heading", { name: "carol" }).waitFor();
    assert.deepEqual(await sent(page), [{ kind: "seenMissed", username: "carol" }]);
    await forget(page);
    await page.getByRole("button", { name: "Call carol with picture" }).click();
    assert.deepEqual(await sent(page), [{ kind: "dial", username: "carol", video: true }]);
  }),

  "a person called and met again is called with voice only, and removed": on("screen=home", async (page) => {
    await page.getByRole("button", { name: /^dave/ }).click();
    await page.getByRole("button", { name: "Remove from list" }).click();
    assert.deepEqual(await sent(page), [{ kind: "removePerson", username: "dave" }]);
    await page.getByRole("heading", { name: "Call a person by name" }).waitFor();
    await page.getByRole("button", { name: /^erin/ }).click();
    await forget(page);
    await page.getByRole("button", { name: "Call with voice only" }).click();
    assert.deepEqual(await sent(page), [{ kind: "dial", username: "erin", video: false }]);
  }),

  "a person is blocked, which takes the calls away, and unblocked": on("screen=home", async (page) => {
    await page.getByRole("button", { name: /^dave/ }).click();
    await page.getByRole("button", { name: "Block", exact: true }).click();
    assert.deepEqual(await sent(page), [{ kind: "setBlocked", username: "dave", blocked: true }]);
    await page.getByText("Their calls do not ring here").waitFor();
    assert.equal(await page.getByRole("button", { name: "Call with picture", exact: true }).count(), 0);
    assert.equal(await page.getByRole("button", { name: "Call dave with picture" }).count(), 0);
    await forget(page);
    await page.getByRole("button", { name: "Unblock" }).click();
    assert.deepEqual(await sent(page), [{ kind: "setBlocked", username: "dave", blocked: false }]);
    await page.getByRole("button", { name: "Call with picture", exact: true }).waitFor();
  }),

  "whoever calls can be blocked, and then nobody calls": on("screen=incoming", async (page) => {
    const party = await page.evaluate(() => document.querySelector("main")?.dataset.screen);
    assert.equal(party, "incoming");
    await page.getByRole("button", { name: /^Block / }).click();
    const [command] = await sent(page);
    assert.equal(command.kind, "setBlocked");
    assert.equal(command.blocked, true);
    await page.getByRole("heading", { name: "Call a person by name" }).waitFor();
  }),

  "in a narrow window a person takes the place of the list, and gives it back with the focus": on(
    "screen=home",
    async (page) => {
      const row = page.getByRole("button", { name: /^dave/ });
      await row.focus();
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "dave" }).waitFor();
      assert.equal(await row.count(), 0);
      for (const back of ["Enter", "Escape"]) {
        await page.keyboard.press(back);
        await row.waitFor();
        await page.waitForFunction(() => document.activeElement.textContent.includes("dave"));
        await page.keyboard.press("Enter");
        await page.getByRole("heading", { name: "dave" }).waitFor();
      }
    },
    { width: 360, height: 640 },
  ),

  "a stray Enter or Space neither answers nor declines": on("screen=home", async (page) => {
    await page.keyboard.type("b");
    await show(page, () =>
      window.ahoyShow((view) => {
        const party = { username: "bob", name: null, device: null, trust: "known" };
        view.screen = { kind: "incoming", party, video: true };
      }),
    );
    await screen(page, "incoming");
    await forget(page);
    for (const key of ["Enter", "Space", "Escape", "m", "v", "a"]) await page.keyboard.press(key);
    assert.deepEqual(await sent(page), []);
  }),

  "an incoming call is told once, at once": on("screen=home", async (page) => {
    const ring = () =>
      window.ahoyShow((view) => {
        const party = { username: "bob", name: null, device: null, trust: "known" };
        view.screen = { kind: "incoming", party, video: true };
      });
    await page.evaluate(() => {
      window.alerts = [];
      const region = document.querySelector("[aria-live=assertive]");
      new MutationObserver(() => window.alerts.push(region.textContent)).observe(region, {
        subtree: true,
        childList: true,
        characterData: true,
      });
    });
    await show(page, ring);
    await screen(page, "incoming");
    await show(page, ring);
    await page.waitForFunction(() => window.alerts.length > 0);
    assert.deepEqual(await page.evaluate(() => window.alerts.filter((text) => text !== "")), [
      "bob is calling with picture",
    ]);
  }),

  "the other side's muting is read out": on("screen=call", async (page) => {
    await show(page, () => window.ahoyShow((view) => (view.screen.remote.audio = false)));
    await page.locator("[aria-live=polite]", { hasText: "bob is muted" }).waitFor({ state: "attached" });
    await page.getByText("bob is muted").first().waitFor();
  }),

  "a call is answered with picture, with voice only, and declined": each(
    on("screen=incoming", async (page) => {
      await page.getByRole("button", { name: "Answer with picture" }).click();
      assert.deepEqual(await sent(page), [{ kind: "accept", from: "bob", video: true }]);
      await screen(page, "call");
    }),
    on("screen=incoming", async (page) => {
      await page.getByRole("button", { name: "Voice only" }).click();
      assert.deepEqual(await sent(page), [{ kind: "accept", from: "bob", video: false }]);
    }),
    on("screen=incoming", async (page) => {
      await page.getByRole("button", { name: "Decline" }).click();
      assert.deepEqual(await sent(page), [{ kind: "decline", from: "bob" }]);
    }),
  ),

  "shortcuts send what they say": each(
    shortcut("screen=call", "Control+d", [{ kind: "setMuted", muted: true }]),
    shortcut("screen=call&with=muted", "m", [{ kind: "setMuted", muted: false }]),
    shortcut("screen=call", "Control+e", [{ kind: "setCamera", on: false }]),
    shortcut("screen=call&with=cameraoff", "v", [{ kind: "setCamera", on: true }]),
    shortcut("screen=call", "Control+Shift+E", [{ kind: "hangUp" }]),
    shortcut("screen=outgoing", "Control+Shift+E", [{ kind: "hangUp" }]),
    shortcut("screen=incoming", "Control+Shift+A", [{ kind: "accept", from: "bob", video: false }]),
    shortcut("screen=incoming", "Control+Shift+V", [{ kind: "accept", from: "bob", video: true }]),
    shortcut("screen=incoming", "Control+Shift+D", [{ kind: "decline", from: "bob" }]),
    shortcut("screen=ended", "Escape", [{ kind: "closeEnded" }]),
    shortcut("screen=home", "Control+d", []),
    shortcut("screen=call", "Control+m", []),
  ),

  "single keys can be switched off": on("screen=call", async (page) => {
    await show(page, () => window.ahoyShow((view) => (view.settings.letterKeys = false)));
    for (const key of ["m", "v", "?"]) await page.keyboard.press(key);
    await page.keyboard.down("Space");
    await page.keyboard.up("Space");
    assert.deepEqual(await sent(page), []);
    assert.equal(await page.getByRole("dialog").count(), 0);
    await page.keyboard.press("Control+d");
    assert.deepEqual(await sent(page), [{ kind: "setMuted", muted: true }]);
  }),

  "single keys are dead where somebody types": on("screen=home", async (page) => {
    await page.getByLabel("Call a name").focus();
    await page.keyboard.type("m?v");
    assert.equal(await page.getByLabel("Call a name").inputValue(), "m?v");
    assert.equal(await page.getByRole("dialog").count(), 0);
  }),

  "the table of keys opens with ? and F1 and closes with Escape": on("screen=call", async (page) => {
    for (const key of ["?", "F1"]) {
      await page.keyboard.press(key);
      await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
    }
  }),

  "toggles keep their name and say whether they are pressed": on("screen=call", async (page) => {
    for (const name of ["Mute microphone", "Turn camera off"]) {
      await page.getByRole("button", { name, pressed: false }).click();
      await page.getByRole("button", { name, pressed: true }).click();
      await page.getByRole("button", { name, pressed: false }).waitFor();
    }
    assert.deepEqual(await sent(page), [
      { kind: "setMuted", muted: true },
      { kind: "setMuted", muted: false },
      { kind: "setCamera", on: false },
      { kind: "setCamera", on: true },
    ]);
  }),

  "holding Space is heard, and whatever ends it ends muted": async (open) => {
    const endings = {
      "letting go": (page) => page.keyboard.up("Space"),
      "leaving the window": (page) => page.evaluate(() => window.dispatchEvent(new Event("blur"))),
      "hiding the page": (page) => page.evaluate(() => window.dispatchEvent(new Event("pagehide"))),
      "a key-up that never comes": async (page) => {
        await page.keyboard.down("Space");
        await page.waitForFunction(() => window.ahoySent.length >= 2);
      },
    };
    for (const [ending, end] of Object.entries(endings)) {
      await on("screen=call&with=muted", async (page) => {
        await page.keyboard.down("Space");
        await page.getByText("Heard while you hold Space").waitFor();
        await end(page);
        const expected = [
          { kind: "setMuted", muted: false },
          { kind: "setMuted", muted: true },
        ];
        assert.deepEqual(await sent(page), expected, ending);
      })(open);
    }
  },

  "a call that ends while Space is held takes the holding with it": on("screen=call&with=muted", async (page) => {
    await page.keyboard.down("Space");
    await page.getByText("Heard while you hold Space").waitFor();
    await show(page, () => window.ahoyShow((view) => (view.screen = { kind: "home" })));
    await screen(page, "home");
    await page.keyboard.up("Space");
    assert.deepEqual(await sent(page), [{ kind: "setMuted", muted: false }]);
    assert.equal(await page.evaluate(() => sessionStorage.getItem("talking")), null);
  }),

  "a name that cannot be says so where it was typed": on("screen=home", async (page) => {
    await page.keyboard.type("not a name");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "cannot be a name" }).waitFor();
    assert.equal(await page.getByLabel("Call a name").getAttribute("aria-invalid"), "true");
    await page.keyboard.press("Backspace");
    await page.locator("input[aria-invalid=false]").waitFor();
  }),

  "a page loaded anew while Space is held comes back muted": on("screen=call&with=muted", async (page) => {
    await page.keyboard.down("Space");
    await page.getByText("Heard while you hold Space").waitFor();
    await page.evaluate(() => sessionStorage.setItem("talking", "yes"));
    await page.evaluate(() => window.addEventListener("pagehide", () => sessionStorage.setItem("talking", "yes")));
    await page.reload();
    await screen(page, "call");
    await page.getByRole("button", { name: "Mute microphone", pressed: true }).waitFor();
    assert.deepEqual(await sent(page), [{ kind: "setMuted", muted: true }]);
  }),

  "Space on a button reached by Tab presses that button": on("screen=call&with=muted", async (page) => {
    const camera = page.getByRole("button", { name: "Turn camera off" });
    for (let tabs = 0; tabs < 20 && !(await camera.evaluate((button) => button === document.activeElement)); tabs++) {
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Space");
    assert.deepEqual(await sent(page), [{ kind: "setCamera", on: false }]);
  }),

  "Space after a click on a button talks, and does not press it again": on("screen=call", async (page) => {
    await page.getByRole("button", { name: "Mute microphone" }).click();
    await forget(page);
    await page.keyboard.down("Space");
    await page.keyboard.up("Space");
    assert.deepEqual(await sent(page), [
      { kind: "setMuted", muted: false },
      { kind: "setMuted", muted: true },
    ]);
  }),

  "Tab reaches every control, each with a ring": async (open) => {
    const queries = [
      "screen=signIn",
      "screen=home",
      "screen=incoming",
      "screen=outgoing",
      "screen=call",
      "screen=ended",
    ];
    for (const query of queries) {
      await on(query, async (page) => {
        const all = await page.evaluate(() => {
          const shown = [...document.querySelectorAll("button, input, select, a[href]")].filter((c) =>
            c.checkVisibility(),
          );
          shown.forEach((control, at) => (control.dataset.at = String(at)));
          // Begin before the first, wherever the screen itself put the focus.
          document.body.tabIndex = -1;
          document.body.focus();
          return shown.map((control) => control.dataset.at);
        });
        const reached = [];
        for (let tabs = 0; tabs < all.length; tabs++) {
          await page.keyboard.press("Tab");
          reached.push(
            await page.evaluate(() => {
              const { activeElement: at } = document;
              const ringed = [at, at?.parentElement].some((e) => e && getComputedStyle(e).outlineStyle !== "none");
              return ringed ? at.dataset.at : `${at?.outerHTML.slice(0, 80)} has no ring`;
            }),
          );
        }
        assert.deepEqual(reached, all, query);
      })(open);
    }
  },

  "dialogs hold the focus and give it back": each(
    on("screen=home", async (page) => {
      await page.getByRole("button", { name: "Settings" }).focus();
      await page.keyboard.press("Enter");
      await page.getByRole("dialog", { name: "Settings" }).waitFor();
      for (let tabs = 0; tabs < 40; tabs++) {
        await page.keyboard.press("Tab");
        const outside = await page.evaluate(() => document.activeElement.closest("[inert]") !== null);
        assert.equal(outside, false);
      }
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await page.waitForFunction(() => document.activeElement.getAttribute("aria-label") === "Settings");
    }),
    on("screen=call", async (page) => {
      await page.getByRole("button", { name: "Choose camera" }).focus();
      await page.keyboard.press("Enter");
      await page.getByRole("menu", { name: "Choose camera" }).waitFor();
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("Enter");
      assert.deepEqual(await sent(page), [{ kind: "chooseDevice", device: "camera", id: "cam-desk" }]);
      await page.waitForFunction(() => document.activeElement.getAttribute("aria-label") === "Choose camera");
      await page.keyboard.press("Enter");
      await page.getByRole("menuitemradio", { name: /BRIO/, checked: true }).waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("menu").waitFor({ state: "detached" });
      await page.waitForFunction(() => document.activeElement.getAttribute("aria-label") === "Choose camera");
    }),
  ),

  "a call that comes in closes the settings": on("screen=home", async (page) => {
    await page.keyboard.press("Control+,");
    await page.getByRole("dialog", { name: "Settings" }).waitFor();
    await show(page, () =>
      window.ahoyShow((view) => {
        const party = { username: "bob", name: null, device: null, trust: "known" };
        view.screen = { kind: "incoming", party, video: true };
      }),
    );
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Decline" }).click();
    await screen(page, "home");
  }),

  "settings send what was chosen": on("screen=home", async (page) => {
    await page.keyboard.press("Control+,");
    await page.getByLabel("Microphone", { exact: true }).selectOption({ label: "Headset Microphone" });
    await page.getByLabel("Speaker").selectOption({ label: "System default" });
    await page.getByRole("button", { name: "Play a test sound" }).click();
    await page.getByLabel("Ring volume").press("ArrowLeft");
    await page.getByRole("radio", { name: "Dark" }).check();
    await page.getByRole("switch", { name: "Single keys as shortcuts" }).click();
    assert.deepEqual(await sent(page), [
      { kind: "chooseDevice", device: "microphone", id: "mic-headset" },
      { kind: "chooseDevice", device: "speaker", id: null },
      { kind: "testSpeaker" },
      { kind: "setRingVolume", volume: 0.65 },
      { kind: "setTheme", theme: "dark" },
      { kind: "setLetterKeys", on: false },
    ]);
    await page.getByRole("button", { name: "Sign out" }).click();
    await screen(page, "signIn");
  }),

  "noise suppression is switched by keyboard in a call, and the switch says how it is": on("screen=call", async (page) => {
    await page.keyboard.press("Control+,");
    const named = { name: "Noise suppression" };
    const suppression = page.getByRole("switch", named);
    await forget(page);
    for (const on of [false, true]) {
      // A screen reader reads its name, its state, and what it is for.
      assert.equal(await suppression.getAttribute("aria-checked"), String(!on));
      await suppression.focus();
      await page.keyboard.press("Space");
      await page.getByRole("switch", { ...named, checked: on }).waitFor();
    }
    const hint = await suppression.getAttribute("aria-describedby");
    assert.match(await page.locator(`[id="${hint}"]`).textContent(), /fans, hum and hiss/);
    assert.deepEqual(await sent(page), [
      { kind: "setNoiseSuppression", on: false },
      { kind: "setNoiseSuppression", on: true },
    ]);
  }),

  "what is plugged in while the settings are open is asked for again and again": on("screen=home", async (page) => {
    await page.keyboard.press("Control+,");
    await page.getByRole("dialog").waitFor();
    await page.waitForFunction(
      () => window.ahoySent.filter(({ kind }) => kind === "refreshDevices").length >= 3,
      undefined,
      { timeout: 20_000 },
    );
  }),

  "the camera is on only after somebody asked, and off with the settings": on("screen=home", async (page) => {
    await page.keyboard.press("Control+,");
    assert.deepEqual(await sent(page), []);
    await page.getByRole("dialog").getByRole("button", { name: "Check your camera and microphone" }).click();
    await page.getByRole("dialog").getByRole("img", { name: "Your picture" }).waitFor();
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => window.ahoySent.at(-1)?.on === false);
    assert.deepEqual(await sent(page), [
      { kind: "setPreview", on: true },
      { kind: "setPreview", on: false },
    ]);
  }),

  "the theme follows the system until one is chosen": on(
    "screen=home&theme=system",
    async (page) => {
      const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      await page.emulateMedia({ colorScheme: "dark" });
      await page.waitForFunction((was) => getComputedStyle(document.body).backgroundColor !== was, light);
      await show(page, () => window.ahoyShow((view) => (view.settings.theme = "light")));
      await page.waitForFunction((was) => getComputedStyle(document.body).backgroundColor === was, light);
    },
    { colorScheme: "light" },
  ),

  "a page loaded anew is back in the call within two seconds": on("screen=home", async (page) => {
    await page.getByRole("button", { name: "Call bob with picture" }).click();
    await page.getByRole("img", { name: "bob’s picture" }).waitFor();
    await page.keyboard.press("Control+d");
    await page.getByRole("button", { name: "Mute microphone", pressed: true }).waitFor();
    await page.reload();
    const options = { timeout: 2_000 };
    await page.getByRole("img", { name: "bob’s picture" }).waitFor(options);
    await page.getByRole("button", { name: "Mute microphone", pressed: true }).waitFor(options);
  }),

  "the controls go away while nobody moves, and come back": on("screen=call", async (page) => {
    await page.clock.install();
    await page.reload();
    await screen(page, "call");
    const opacity = () => page.locator("section.controls").evaluate((e) => Number(getComputedStyle(e).opacity));
    const settled = async (to) => {
      await page.clock.runFor(400);
      await page.waitForFunction(
        (to) => Number(getComputedStyle(document.querySelector("section.controls")).opacity) === to,
        to,
      );
    };
    await page.clock.runFor(5_100);
    await settled(0);
    await page.mouse.move(300, 300);
    await settled(1);
    await page.mouse.move(540, 660);
    await page.clock.runFor(12_000);
    assert.equal(await opacity(), 1, "pointed at");
    await page.mouse.move(300, 300);
    await page.keyboard.press("Tab");
    await page.clock.runFor(12_000);
    assert.equal(await opacity(), 1, "come to by keyboard");
  }),

  "the controls stay where there is no picture to look at": on("screen=call&with=theycameraoff", async (page) => {
    await page.clock.install();
    await page.reload();
    await screen(page, "call");
    await page.clock.runFor(30_000);
    assert.equal(await page.locator("section.controls").evaluate((e) => getComputedStyle(e).opacity), "1");
  }),

  "one's own picture goes round four corners by key, by click and by hand, and stays there": on(
    "screen=call",
    async (page) => {
      const self = page.getByRole("button", { name: /^Your picture/ });
      const at = (corner) =>
        page.getByRole("button", { name: `Your picture, ${corner}. Move to the next corner` }).waitFor();
      await at("bottom right");
      await page.keyboard.press("Control+p");
      await at("bottom left");
      await self.click();
      await at("top left");
      const box = await self.boundingBox();
      await page.mouse.move(box.x + 30, box.y + 30);
      await page.mouse.down();
      await page.mouse.move(1000, 100, { steps: 5 });
      await page.mouse.up();
      await at("top right");
      await page.reload();
      await at("top right");
    },
  ),

  "nothing moves when a toggle is pressed or a notice comes": on("screen=call", async (page) => {
    const places = () =>
      page.evaluate(() =>
        [...document.querySelectorAll("[data-screen] button")].map((button) => {
          const { x, y, width, height } = button.getBoundingClientRect();
          return [button.getAttribute("aria-label"), x, y, width, height];
        }),
      );
    const before = await places();
    await page.keyboard.press("Control+d");
    await page.keyboard.press("Control+e");
    await show(page, () =>
      window.ahoyShow((view) => (view.screen.quality.sentence = "Your network is slow: picture reduced.")),
    );
    await page.getByText("Your network is slow").first().waitFor();
    assert.deepEqual(await places(), before);
  }),

  "what peers and servers say is text, never markup": on("screen=call", async (page) => {
    await show(page, () =>
      window.ahoyShow((view) => {
        const evil = "<img src=x onerror=window.hacked=1><b>bob</b>";
        view.screen.party.username = evil;
        view.screen.quality.sentence = evil;
        view.notices = [{ id: 1, text: evil, tone: "danger" }];
      }),
    );
    await page.getByText("<b>bob</b>").first().waitFor();
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.equal(await page.locator("[data-screen] img, .toasts img").count(), 0);
  }),

  "a code is compared in the call, and the person is verified from then on": each(
    on("screen=call", async (page) => {
      await page.getByRole("button", { name: "Direct" }).click();
      await page.getByText("Code 0 9 5 2 5 5").waitFor();
      await page.getByRole("button", { name: "They match" }).click();
      assert.deepEqual(await sent(page), [{ kind: "compareCode", same: true }]);
      await page.getByText("You compared it: this is bob.").waitFor();
      await page.getByText("Verified: you compared the code with bob").waitFor();
      assert.equal(await page.getByRole("button", { name: "They match" }).count(), 0);
    }),
    on("screen=call", async (page) => {
      await page.getByRole("button", { name: "Direct" }).click();
      await page.getByRole("button", { name: "They differ" }).click();
      assert.deepEqual(await sent(page), [{ kind: "compareCode", same: false }]);
    }),
  ),

  "a new key is looked at before it can be trusted": on("screen=home&with=newkey", async (page) => {
    await page.getByRole("button", { name: /^bob/ }).click();
    assert.equal(await page.getByRole("button", { name: "It is theirs: trust it" }).count(), 0);
    await page.getByRole("button", { name: "Look at it" }).click();
    await page.getByText("p_bfr4 84uJuo").waitFor();
    await page.getByRole("button", { name: "It is theirs: trust it" }).click();
    const key = "p_bfr484uJuozmSbWU-R5NAf3Ff5yUk99DteUKmYc2c";
    assert.deepEqual(await sent(page), [{ kind: "trustNewKey", username: "bob", key }]);
    await page.getByText("Another key was shown").waitFor({ state: "detached" });
  }),

  "the recovery phrase is shown after a click, can be copied, and is gone when somebody looks away": each(
    on("screen=home", async (page) => {
      await page.keyboard.press("Control+,");
      assert.equal(await page.getByText("hamster").count(), 0);
      await page.getByRole("button", { name: "Show the recovery phrase" }).click();
      const words = page.getByRole("list", { name: "Recovery phrase" }).getByRole("listitem");
      assert.equal(await words.count(), 24);
      assert.match(await words.first().innerText(), /^1\s+hamster$/);
      await page.getByRole("button", { name: "Copy" }).click();
      await page.getByText(/^(Copied|Marked)/).waitFor();
      await page.getByRole("button", { name: "I have written them down" }).click();
      await words.first().waitFor({ state: "detached" });
      assert.deepEqual(await sent(page), [{ kind: "showPhrase" }, { kind: "hidePhrase" }]);
    }),
    on("screen=home", async (page) => {
      await page.keyboard.press("Control+,");
      await page.getByRole("button", { name: "Show the recovery phrase" }).click();
      await page.getByText("hamster").waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
      assert.deepEqual(await sent(page), [{ kind: "showPhrase" }, { kind: "hidePhrase" }]);
    }),
    on("screen=home", async (page) => {
      await page.keyboard.press("Control+,");
      await page.getByRole("button", { name: "Show the recovery phrase" }).click();
      await show(page, () => window.ahoyShow((view) => (view.phrase = { kind: "failed", why: "It is locked." })));
      await page.getByText("It is locked.").waitFor();
      assert.equal(await page.getByText("hamster").count(), 0);
    }),
  ),

  "a recovery phrase is given for a name, and what is wrong with it is said where it was written": on(
    "screen=signIn&with=fresh",
    async (page) => {
      await page.getByLabel("Your name").fill("alice");
      await page.getByRole("button", { name: "I have a recovery phrase" }).click();
      const field = page.getByLabel("Recovery phrase");
      await field.fill("only three words");
      await page.getByRole("button", { name: "Restore the key" }).click();
      await page.getByRole("alert").filter({ hasText: "these are 3" }).waitFor();
      assert.equal(await field.getAttribute("aria-invalid"), "true");
      const phrase = "zoo ".repeat(24).trim();
      await field.fill(phrase);
      await forget(page);
      await page.getByRole("button", { name: "Restore the key" }).click();
      await page.getByText("The key of alice is on this computer now").waitFor();
      assert.deepEqual(await sent(page), [{ kind: "restoreKey", username: "alice", phrase }]);
      assert.equal(await field.count(), 0);
      await page.getByRole("button", { name: "Sign in" }).click();
      await screen(page, "home");
    },
  ),

  "an invitation goes with the sign-in": on("screen=signIn", async (page) => {
    await page.getByRole("button", { name: "I have an invitation" }).click();
    await page.getByLabel("Invitation").fill(" q3ZK ");
    await page.getByRole("button", { name: "Sign in" }).click();
    await screen(page, "home");
    assert.deepEqual(await sent(page), [
      { kind: "signIn", username: "alice", server: "calls.example.org", invite: "q3ZK" },
    ]);
  }),

  "from whom the address is hidden is chosen": on("screen=home", async (page) => {
    await page.keyboard.press("Control+,");
    await page.getByRole("radio", { name: "From nobody", checked: true }).waitFor();
    await page.getByRole("radio", { name: "From everybody" }).check();
    await page.getByRole("radio", { name: "From callers who are not on my list" }).check();
    assert.deepEqual(await sent(page), [
      { kind: "setHideAddress", from: "always" },
      { kind: "setHideAddress", from: "fromStrangers" },
    ]);
  }),

  "a notice is taken away by its button": on("screen=home&with=notice", async (page) => {
    await page.getByRole("button", { name: "Dismiss" }).first().click();
    assert.deepEqual(await sent(page), [{ kind: "dismiss", id: 1 }]);
    await page.getByText("carol called while").waitFor({ state: "detached" });
  }),

  "a chosen device that is not plugged in stays chosen and says so": on("screen=home&with=unplugged", async (page) => {
    await page.keyboard.press("Control+,");
    const camera = page.getByLabel("Camera", { exact: true });
    assert.equal(await camera.evaluate((s) => s.selectedOptions[0].textContent), "Chosen device (not plugged in)");
  }),

  "nothing animates for somebody who asked for that": on(
    "screen=incoming",
    async (page) => {
      const longest = await page.evaluate(() =>
        Math.max(
          ...document.getAnimations().map((animation) => Number(animation.effect.getComputedTiming().activeDuration)),
          0,
        ),
      );
      assert.ok(longest < 1, `${longest} ms`);
    },
    { reducedMotion: "reduce" },
  ),
};
