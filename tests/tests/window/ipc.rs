//! What the page asks for that it may not have (row A18 of docs/reliability.md). The page is our own; here it does what somebody
//! would who made it run a script. Whatever it asks, it is refused, and the app goes on.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::time::Duration;

use ahoy_tests::harness::Server;
use ahoy_tests::harness::desktop::Desktop;
use ahoy_tests::harness::window::Window;
use serde_json::{Value, json};

use crate::people::{signed_in, take_turn};

/// Alice at her window, signed in.
fn alice(server: &Server) -> Option<Window> {
    let alice = signed_in(&Desktop::start()?, server, "alice").open("alice")?;
    alice.wait_for_nth("signed_in", 0);
    alice.wait_for_screen("home");
    Some(alice)
}

#[test]
fn commands_that_are_none_and_arguments_that_are_wrong_are_refused_and_the_app_goes_on() {
    let _turn = take_turn();
    let server = Server::start();
    let Some(alice) = alice(&server) else { return };
    let deep = (0..200).fold(json!(0), |inside, _| json!([inside]));
    let asked = [
        // Of nobody, and Tauri's own: windows, events, files, programs.
        ("no_such_command", json!({})),
        ("", json!({})),
        ("__proto__", json!({})),
        ("plugin:app|version", json!({})),
        ("plugin:event|listen", json!({"event": "x", "target": {"kind": "Any"}, "handler": 1})),
        ("plugin:event|emit", json!({"event": "x", "payload": 1})),
        ("plugin:fs|read_text_file", json!({"path": "/etc/passwd"})),
        ("plugin:http|fetch", json!({"clientConfig": {"url": "http://127.0.0.1/"}})),
        ("plugin:image|from_path", json!({"path": "/etc/passwd"})),
        ("plugin:opener|open_url", json!({"url": "http://127.0.0.1/"})),
        ("plugin:path|resolve_directory", json!({"directory": 1})),
        ("plugin:process|exit", json!({"code": 1})),
        ("plugin:resources|close", json!({"rid": 0})),
        ("plugin:shell|execute", json!({"program": "true", "args": []})),
        ("plugin:tray|new", json!({"options": {}})),
        ("plugin:webview|create_webview_window", json!({"options": {"label": "x", "url": "http://127.0.0.1/"}})),
        ("plugin:webview|internal_toggle_devtools", json!({})),
        ("plugin:window|close", json!({})),
        ("plugin:window|set_title", json!({"value": "taken"})),
        // Ours, with what they do not take.
        ("attach", json!({})),
        ("attach", json!({"events": 7})),
        ("attach", json!({"events": "__CHANNEL__:x"})),
        ("attach", json!({"events": {"id": -1}})),
        ("send", json!({})),
        ("send", json!({"command": null})),
        ("send", json!({"command": "hangUp"})),
        ("send", json!({"command": {"kind": "format"}})),
        ("send", json!({"command": {"kind": "dial"}})),
        ("send", json!({"command": {"kind": "dial", "username": 7, "video": "yes"}})),
        ("send", json!({"command": {"kind": "dial", "username": "\0\u{202e}", "video": false}})),
        ("send", json!({"command": {"kind": "dial", "username": "x".repeat(1_000_000), "video": false}})),
        ("send", json!({"command": {"kind": "setRingVolume", "volume": "loud"}})),
        ("send", json!({"command": {"kind": "setTheme", "theme": "../../etc"}})),
        ("send", json!({"command": {"kind": "dismiss", "id": -1}})),
        ("send", json!({"command": deep})),
        ("frames_by_channel", json!({})),
        ("frames_by_channel", json!({"view": "other", "showing": {}, "pictures": 7})),
        ("frames_hear", json!({})),
        ("frames_hear", json!({"line": -1, "message": null})),
        ("frames_hear", json!({"line": "x".repeat(100_000), "message": {"kind": "wanted"}})),
    ];
    let outcomes = come_to(
        &alice,
        &format!(
            "const outcomes = [];
            for (const [command, given] of {}) {{
                const asked = window.__TAURI_INTERNALS__.invoke(command, given);
                outcomes.push(await asked.then(() => 'done', (why) => 'refused: ' + JSON.stringify(why)));
            }}
            return outcomes;",
            json!(&asked[..])
        ),
    );
    let outcomes: Vec<&str> = outcomes.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(outcomes.len(), asked.len());
    for ((command, given), outcome) in asked.iter().zip(outcomes) {
        let given: String = given.to_string().chars().take(200).collect();
        assert!(outcome.starts_with("refused: "), "{command} {given}: {outcome}");
    }
    goes_on(&alice);
}

#[test]
fn frames_within_the_page_and_words_around_tauri_reach_nothing() {
    let _turn = take_turn();
    let server = Server::start();
    let Some(alice) = alice(&server) else { return };
    // A frame of a page of its own, and one that is written in place, whose script does not run either.
    let within = come_to(
        &alice,
        "const found = [];
        for (const [name, value] of [
            ['src', 'tauri://localhost/index.html'],
            ['src', 'data:text/html,<script>parent.postMessage(1, \"*\")</script>'],
            ['srcdoc', '<script>parent.taken = window.__TAURI_INTERNALS__ ? \"ipc\" : \"script\"</script>'],
        ]) {
            const frame = document.createElement('iframe');
            frame.setAttribute(name, value);
            document.body.append(frame);
            await new Promise((done) => setTimeout(done, 300));
            let internals = null;
            try {
                internals = frame.contentWindow.__TAURI_INTERNALS__?.invoke ?? null;
            } catch {
                // Another origin's.
            }
            found.push(internals === null);
            frame.remove();
        }
        found.push(window.taken ?? null);
        return found;",
    );
    assert_eq!(within, json!([true, true, true, null]), "a frame has a way to the program, or ran a script");
    // The way beneath `invoke`, without the key that only Tauri's own script knows.
    let around = come_to(
        &alice,
        "const found = [];
        for (const command of ['send', 'attach', 'plugin:app|version']) {
            const asked = fetch('ipc://localhost/' + encodeURIComponent(command), {
                method: 'POST',
                body: JSON.stringify({ command: { kind: 'signOut' } }),
                headers: { 'Content-Type': 'application/json', 'Tauri-Callback': '1', 'Tauri-Error': '2' },
            });
            found.push(await asked.then((answer) => answer.headers.get('Tauri-Response') === 'ok', () => false));
        }
        return found;",
    );
    assert_eq!(around, json!([false, false, false]), "the program answered somebody without its key");
    goes_on(&alice);
}

#[test]
fn the_page_loads_nothing_from_elsewhere_runs_no_script_of_others_and_stays_where_it_is() {
    let _turn = take_turn();
    let server = Server::start();
    let Some(alice) = alice(&server) else { return };
    // Not 127.0.0.1, where the app hands its pictures over by WebSocket, and so, to the policy, HTTP too.
    let elsewhere = TcpListener::bind("127.0.0.2:0").expect("a port is free");
    elsewhere.set_nonblocking(true).expect("it is a socket");
    let url = format!("http://{}/", elsewhere.local_addr().expect("it is bound"));
    let violated = come_to(
        &alice,
        &format!(
            "const violated = new Set();
            document.addEventListener('securitypolicyviolation', (event) => violated.add(event.effectiveDirective));
            const add = (tag, members) => document.head.append(Object.assign(document.createElement(tag), members));
            add('script', {{ textContent: 'window.taken = 1' }});
            add('script', {{ src: '{url}script.js' }});
            add('link', {{ rel: 'stylesheet', href: '{url}style.css' }});
            add('style', {{ textContent: 'body {{ background: url({url}picture) }}' }});
            add('img', {{ src: '{url}picture' }});
            add('object', {{ data: '{url}object' }});
            add('base', {{ href: '{url}' }});
            add('audio', {{ src: '{url}sound' }});
            add('iframe', {{ src: '{url}page' }});
            document.body.setAttribute('onclick', 'window.taken = 2');
            document.body.click();
            navigator.sendBeacon?.('{url}beacon', 'x');
            await fetch('{url}words').catch(() => null);
            try {{ new Worker('{url}worker.js'); }} catch {{ }}
            await new Promise((done) => setTimeout(done, 500));
            return [...violated].sort();"
        ),
    );
    let violated: Vec<&str> = violated.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    for part in ["script-src", "style-src", "img-src", "connect-src"] {
        assert!(violated.iter().any(|directive| directive.starts_with(part)), "{part} is not among {violated:?}");
    }
    assert!(alice.ask("return window.taken ?? null").is_null(), "a script of somebody else ran");
    let before = alice.ask("return location.href");
    for leave in [
        format!("location.href = '{url}'"),
        format!("location.replace('{url}')"),
        "location.href = 'file:///etc/passwd'".into(),
        "location.href = 'data:text/html,<h1>taken</h1>'".into(),
        "location.href = 'javascript:window.taken = 3'".into(),
        format!("window.open('{url}')"),
        format!("Object.assign(document.createElement('a'), {{ href: '{url}', target: '_blank' }}).click()"),
        format!(
            "const form = Object.assign(document.createElement('form'), {{ action: '{url}', method: 'post' }});
            document.body.append(form);
            form.submit();
            form.remove()"
        ),
        format!(
            "document.head.append(Object.assign(document.createElement('meta'), \
             {{ httpEquiv: 'refresh', content: '0; url={url}' }}))"
        ),
    ] {
        // After the driver has its answer: a page that is left gives none.
        come_to(
            &alice,
            &format!("setTimeout(() => {{ {leave} }}); await new Promise((done) => setTimeout(done, 200));"),
        );
        assert_eq!(alice.ask("return location.href"), before, "{leave}");
    }
    assert!(alice.ask("return window.taken ?? null").is_null(), "a script of somebody else ran");
    // WebKit connects ahead of time to where a page wants to go, and says nothing there until it may.
    while let Ok((stream, _)) = elsewhere.accept() {
        stream.set_nonblocking(false).expect("it is a socket");
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("not zero");
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
        assert_eq!(line, "", "the page asked elsewhere");
    }
    goes_on(&alice);
}

/// What an asynchronous function of the page returns.
#[track_caller]
fn come_to(window: &Window, body: &str) -> Value {
    window.ask(&format!(
        "window.outcome = null;
        (async () => {{ {body} }})().then(
            (value) => {{ window.outcome = [value ?? null]; }},
            (why) => {{ window.outcome = ['threw', String(why)]; }},
        );"
    ));
    let outcome = window.wait_for("an outcome", |driver| {
        let outcome = driver.execute("return window.outcome", json!([]))?;
        Ok((!outcome.is_null()).then_some(outcome))
    });
    assert_ne!(outcome[0], "threw", "{outcome}");
    outcome[0].clone()
}

/// The page is drawn by a program that does as it is told.
#[track_caller]
fn goes_on(window: &Window) {
    window.wait_for_screen("home");
    window.call("nobody-has-this-name");
    window.wait_for_screen("ended");
}
