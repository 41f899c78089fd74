//! Whole calls between two apps without windows: what their screens show and what is kept, with the real server, the real
//! client, and pictures and sound that need no device.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ahoy_app::command::TypedPhrase;
use ahoy_app::view::{
    CallStage, CallView, Direction, HideAddress, LinkView, OutgoingStage, PhraseView, RestoreView, Screen, TrustView,
};
use ahoy_app::{Alerting, App, AppView, Command, Options, Overrides, Shell};
use ahoy_client::{NoFrames, SinkSpec, SourceSpec};
use ahoy_tests::harness::{DEADLINE, Server};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::time::timeout;

/// Counts what the window system was asked for.
#[derive(Default)]
struct Desktop {
    alerts: AtomicU32,
    calms: AtomicU32,
}

impl Shell for Desktop {
    fn alert(&self, _: Alerting) {
        self.alerts.fetch_add(1, Ordering::Relaxed);
    }

    fn calm(&self) {
        self.calms.fetch_add(1, Ordering::Relaxed);
    }
}

/// A person at an app.
struct Person {
    app: App,
    desktop: Arc<Desktop>,
}

fn options(data: &Path) -> Options {
    Options {
        devices: Overrides {
            camera: Some(SourceSpec::Pattern),
            microphone: Some(SourceSpec::Tone),
            speaker: Some(SinkSpec::None),
        },
        loopback: true,
        ..Options::new(data.into())
    }
}

impl Person {
    fn start(options: Options) -> Self {
        let desktop = Arc::new(Desktop::default());
        let shell = Arc::clone(&desktop) as Arc<dyn Shell>;
        let app = App::start(options, shell, Arc::new(NoFrames)).expect("the app starts");
        Self { app, desktop }
    }

    /// At home, signed in for the first time.
    async fn signed_in(data: &Path, server: &Server, username: &str) -> Self {
        let person = Self::start(options(data));
        person.does(Command::SignIn { username: username.into(), server: server.url(), invite: String::new() }).await;
        person.sees("home", is_home).await;
        person
    }

    async fn does(&self, command: Command) {
        self.app.send(command.clone()).await.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    }

    /// Waits until `found` makes something of what is on the screen.
    async fn sees<T>(&self, what: &str, found: impl Fn(&AppView) -> Option<T>) -> T {
        let mut views = self.app.view();
        let waited = timeout(DEADLINE, async {
            loop {
                if let Some(found) = found(&views.borrow_and_update()) {
                    return found;
                }
                views.changed().await.expect("the app goes on");
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => panic!("never saw {what}; at last {:#?}", self.app.view().borrow()),
        }
    }

    async fn sees_call(&self, what: &str, wanted: impl Fn(&CallView) -> bool) -> CallView {
        self.sees(what, |view| {
            let Screen::Call(call) = &view.screen else { return None };
            wanted(call).then(|| CallView::clone(call))
        })
        .await
    }

    /// How the last call ended: the sentence, and whether it lasted.
    async fn sees_end(&self) -> (String, Option<u32>) {
        self.sees("the end", |view| {
            let Screen::Ended { sentence, seconds, .. } = &view.screen else { return None };
            Some((sentence.clone(), *seconds))
        })
        .await
    }

    async fn dials(&self, username: &str) {
        self.does(Command::Dial { username: username.into(), video: true }).await;
    }

    async fn is_rung_by(&self, username: &str) {
        self.sees("the ringing", |view| {
            let Screen::Incoming { party, .. } = &view.screen else { return None };
            (party.username == username).then_some(())
        })
        .await;
    }

    fn alerts_and_calms(&self) -> (u32, u32) {
        (self.desktop.alerts.load(Ordering::Relaxed), self.desktop.calms.load(Ordering::Relaxed))
    }
}

fn is_home(view: &AppView) -> Option<()> {
    (view.screen == Screen::Home && view.link == LinkView::SignedIn).then_some(())
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_call_see_each_other_mute_and_hang_up() {
    let server = Server::start();
    let (of_alice, of_bob) = (folder(), folder());
    let alice = Person::signed_in(of_alice.path(), &server, "alice").await;
    let bob = Person::signed_in(of_bob.path(), &server, "bob").await;
    alice.dials("bob").await;
    bob.is_rung_by("alice").await;
    let rings = |view: &AppView| {
        matches!(view.screen, Screen::Outgoing { stage: OutgoingStage::Ringing { .. }, .. }).then_some(())
    };
    alice.sees("that it rings there", rings).await;
    assert_eq!(bob.alerts_and_calms(), (1, 0));
    bob.does(Command::Accept { from: "alice".into(), video: true }).await;
    for person in [&alice, &bob] {
        let call = person.sees_call("a picture of the other", |call| call.remote_picture).await;
        assert_eq!(call.stage, CallStage::Connected { relayed: false });
        assert_eq!(call.party.trust, Some(TrustView::FirstTime));
        assert!(call.connected_at_ms.is_some() && call.camera_on && !call.muted);
        person.sees_call("figures", |call| call.quality.as_ref().is_some_and(|quality| quality.fps > 0)).await;
    }
    assert_eq!(bob.alerts_and_calms(), (1, 1));

    alice.does(Command::SetMuted { muted: true }).await;
    bob.sees_call("that she is muted", |call| call.remote.is_some_and(|remote| !remote.audio)).await;
    alice.does(Command::SetCamera { on: false }).await;
    bob.sees_call("no picture", |call| !call.remote_picture && call.remote.is_some_and(|remote| !remote.video)).await;
    alice.does(Command::SetCamera { on: true }).await;
    bob.sees_call("her picture again", |call| call.remote_picture).await;

    bob.does(Command::HangUp).await;
    let (sentence, seconds) = alice.sees_end().await;
    assert_eq!((sentence.as_str(), seconds.is_some()), ("bob hung up.", true));
    assert_eq!(bob.sees_end().await.0, "You hung up.");
    alice.does(Command::CloseEnded).await;
    alice.sees("home", is_home).await;
    alice.app.quit().await;
    bob.app.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_run_remembers_who_signed_in_where_and_whom_they_called() {
    let server = Server::start();
    let (of_alice, of_bob) = (folder(), folder());
    let alice = Person::signed_in(of_alice.path(), &server, "alice").await;
    let bob = Person::signed_in(of_bob.path(), &server, "bob").await;
    alice.dials("bob").await;
    bob.is_rung_by("alice").await;
    bob.does(Command::Accept { from: "alice".into(), video: true }).await;
    alice.sees_call("a call", |call| call.connected_at_ms.is_some()).await;
    alice.does(Command::HangUp).await;
    alice.sees_end().await;
    alice.app.quit().await;

    let again = Person::start(options(of_alice.path()));
    assert_eq!(again.app.view().borrow().screen, Screen::Home, "at once");
    again.sees("home", is_home).await;
    let known = |view: &AppView| {
        let bob = view.people.iter().find(|person| person.username == "bob" && person.online == Some(true));
        bob.filter(|bob| bob.known).cloned()
    };
    let entry = again.sees("bob, who is there", known).await;
    let last = entry.last.expect("they have talked");
    assert_eq!((last.direction, last.seconds.is_some(), entry.missed), (Direction::Outgoing, true, 0));

    again.dials("bob").await;
    bob.is_rung_by("alice").await;
    bob.does(Command::Accept { from: "alice".into(), video: false }).await;
    let call = again.sees_call("a call with somebody known", |call| call.party.trust.is_some()).await;
    assert_eq!(call.party.trust, Some(TrustView::Known));
    again.app.quit().await;
    bob.app.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_and_a_missed_call_are_told_to_both() {
    let server = Server::start();
    let (of_alice, of_bob) = (folder(), folder());
    let alice = Person::signed_in(of_alice.path(), &server, "alice").await;
    let bob = Person::signed_in(of_bob.path(), &server, "bob").await;
    alice.dials("bob").await;
    bob.is_rung_by("alice").await;
    bob.does(Command::Decline { from: "alice".into() }).await;
    assert_eq!(alice.sees_end().await, ("bob declined the call.".into(), None));
    bob.sees("home", is_home).await;

    // Somebody else: a stranger may ring once a minute.
    let of_carol = folder();
    let carol = Person::signed_in(of_carol.path(), &server, "carol").await;
    carol.dials("bob").await;
    bob.is_rung_by("carol").await;
    carol.does(Command::HangUp).await;
    carol.sees("home", is_home).await;
    let missed = |view: &AppView| {
        view.people.iter().find(|person| person.username == "carol" && person.missed == 1).map(|_| view.notices.clone())
    };
    let notices = bob.sees("that she was missed", missed).await;
    assert!(notices.iter().any(|notice| notice.text.contains("missed a call from carol")), "{notices:?}");
    assert_eq!(bob.alerts_and_calms(), (2, 2));

    alice.dials("nobody-has-this-name").await;
    assert!(alice.sees_end().await.0.contains("Nobody is called nobody-has-this-name"));
    let names = alice.sees("the list", |view| Some(view.people.clone())).await;
    assert_eq!(names.len(), 1, "only bob: {names:?}");
    alice.app.quit().await;
    carol.app.quit().await;
    bob.app.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_name_gets_in_by_its_invitation() {
    let of_alice = folder();
    let server = Server::start_with(&["--registration", "invite"]);
    let sign_in = |invite: String| Command::SignIn { username: "alice".into(), server: server.url(), invite };
    let alice = Person::start(options(of_alice.path()));
    alice.does(sign_in(String::new())).await;
    let problem = alice
        .sees("what is missing", |view| match &view.screen {
            Screen::SignIn { problem: Some(problem), .. } => Some(problem.clone()),
            _ => None,
        })
        .await;
    assert!(problem.contains("need an invitation"), "{problem}");
    alice.does(sign_in(server.invitation())).await;
    alice.sees("home", is_home).await;
    alice.does(Command::SignOut).await;
    alice.does(sign_in(String::new())).await;
    alice.sees("home, as the name is theirs now", is_home).await;
    alice.app.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_said_and_a_person_who_was_in_stays_home() {
    let of_alice = folder();
    let mut server = Server::start();
    let url = server.url();
    server.kill();
    let alice = Person::start(options(of_alice.path()));
    alice.does(Command::SignIn { username: "alice".into(), server: url, invite: String::new() }).await;
    let problem = alice
        .sees("what is wrong", |view| {
            let Screen::SignIn { busy: false, problem, .. } = &view.screen else { return None };
            problem.clone()
        })
        .await;
    assert!(problem.contains("cannot be reached"), "{problem}");

    let mut server = Server::start();
    alice.does(Command::SignIn { username: "alice".into(), server: server.url(), invite: String::new() }).await;
    alice.sees("home", is_home).await;
    server.kill();
    alice.sees("that the server is away", |view| matches!(view.link, LinkView::Waiting { .. }).then_some(())).await;
    assert_eq!(alice.app.view().borrow().screen, Screen::Home);
    alice.does(Command::SignOut).await;
    alice.sees("the sign-in", |view| matches!(view.screen, Screen::SignIn { .. }).then_some(())).await;
    let began = Instant::now();
    alice.app.quit().await;
    assert!(began.elapsed() < Duration::from_secs(4), "quitting took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_written_as_lines_with_those_of_the_window_between() {
    let server = Server::start();
    let of_alice = folder();
    let path: PathBuf = of_alice.path().join("events.jsonl");
    let events = Some(path.clone());
    let user = Some("alice".into());
    let alice = Person::start(Options { user, server: Some(server.url()), events, ..options(of_alice.path()) });
    alice.sees("home", is_home).await;
    alice.app.note("window_painted", Map::from_iter([("ms".into(), 12.into())]));
    alice.app.quit().await;
    let text = std::fs::read_to_string(&path).expect("there is a file");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let times: Vec<u64> = lines.iter().map(|line| line["t_ns"].as_u64().expect("with a time")).collect();
    assert!(times.is_sorted(), "{text}");
    let names: Vec<&str> = lines.iter().map(|line| line["event"].as_str().expect("and a name")).collect();
    assert_eq!(names, ["signed_in", "window_painted"]);
    assert_eq!(lines[1]["ms"], 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_preview_shows_that_the_camera_works_until_a_page_is_loaded_anew() {
    let of_alice = folder();
    let alice = Person::start(options(of_alice.path()));
    alice.does(Command::SetPreview { on: true }).await;
    alice.sees("the camera's picture", |view| view.preview.picture.then_some(())).await;
    let mut meters = alice.app.meters();
    let heard = meters.wait_for(|meters| meters.microphone > 0.2);
    timeout(DEADLINE, heard).await.expect("the tone moves the meter").expect("the app goes on");
    let view = alice.app.attach().await;
    assert!(!view.preview.on && !view.preview.picture);
    alice.app.quit().await;
}

impl Person {
    async fn hides_address(&self, from: HideAddress) {
        self.does(Command::SetHideAddress { from }).await;
    }

    /// Both say yes.
    async fn calls(&self, other: &Self, (own, theirs): (&str, &str)) {
        self.dials(theirs).await;
        other.is_rung_by(own).await;
        other.does(Command::Accept { from: own.into(), video: true }).await;
    }

    /// Looks away from a call that is over.
    async fn goes_home(&self) {
        self.does(Command::CloseEnded).await;
        self.sees("home", is_home).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_hide_their_addresses_meet_at_the_relay() {
    let server = Server::start_with(&["--turn-listen", "127.0.0.1:0"]);
    let (of_alice, of_bob) = (folder(), folder());
    let alice = Person::signed_in(of_alice.path(), &server, "alice").await;
    let bob = Person::signed_in(of_bob.path(), &server, "bob").await;
    for person in [&alice, &bob] {
        person.hides_address(HideAddress::Always).await;
    }
    alice.calls(&bob, ("alice", "bob")).await;
    for person in [&alice, &bob] {
        let is_relayed = |call: &CallView| call.remote_picture && call.stage == CallStage::Connected { relayed: true };
        person.sees_call("a picture by way of the relay", is_relayed).await;
    }
    alice.app.quit().await;
    bob.app.quit().await;
}

/// Without a relay an address cannot be hidden: so where it is to be, the call ends, and where not, it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_hidden_from_the_next_call_on_and_only_from_whom_it_is_to_be() {
    let server = Server::start_with(&["--no-turn"]);
    let (of_alice, of_bob) = (folder(), folder());
    let alice = Person::signed_in(of_alice.path(), &server, "alice").await;
    let bob = Person::signed_in(of_bob.path(), &server, "bob").await;
    let is_told = |sentence: &str| sentence.contains("stay hidden") && sentence.contains("no relay");

    bob.hides_address(HideAddress::FromStrangers).await;
    alice.calls(&bob, ("alice", "bob")).await;
    let (sentence, _) = bob.sees_end().await;
    assert!(is_told(&sentence), "she was a stranger to him: {sentence}");
    alice.sees_end().await;
    for person in [&alice, &bob] {
        person.goes_home().await;
    }
    // He said yes to her, so he knows her now.
    alice.calls(&bob, ("alice", "bob")).await;
    for person in [&alice, &bob] {
        person.sees_call("a picture of the other", |call| call.remote_picture).await;
    }
    bob.hides_address(HideAddress::Always).await;
    bob.sees_call("that it goes on", |call| call.remote_picture).await;
    alice.does(Command::HangUp).await;
    for person in [&alice, &bob] {
        person.sees_end().await;
        person.goes_home().await;
    }
    bob.dials("alice").await;
    let (sentence, seconds) = bob.sees_end().await;
    assert!(is_told(&sentence), "{sentence}");
    assert_eq!((seconds, alice.alerts_and_calms().0), (None, 0), "nothing rang at hers");
    alice.app.quit().await;
    bob.app.quit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_taken_to_another_app_by_its_phrase_which_is_on_the_screen_only_while_it_is_wanted() {
    let server = Server::start();
    let (old, new) = (folder(), folder());
    let alice = Person::signed_in(old.path(), &server, "alice").await;
    alice.does(Command::ShowPhrase).await;
    let words = alice
        .sees("the phrase", |view| match &view.phrase {
            Some(PhraseView::Words { words }) => Some(words.clone()),
            Some(PhraseView::Reading | PhraseView::Failed { .. }) | None => None,
        })
        .await;
    assert_eq!(words.len(), 24);
    alice.does(Command::HidePhrase).await;
    alice.sees("home without it", |view| view.phrase.is_none().then_some(())).await;
    alice.app.quit().await;

    let restore = |phrase: String| Command::RestoreKey { username: "alice".into(), phrase: TypedPhrase(phrase) };
    let restored = |view: &AppView| match &view.screen {
        Screen::SignIn { restore: Some(restore), .. } if *restore != RestoreView::Keeping => Some(restore.clone()),
        _ => None,
    };
    let alice = Person::start(options(new.path()));
    // Too soon: this app makes a key that the server does not take.
    alice.does(Command::SignIn { username: "alice".into(), server: server.url(), invite: String::new() }).await;
    let refused = |view: &AppView| match &view.screen {
        Screen::SignIn { problem: Some(problem), .. } => Some(problem.clone()),
        _ => None,
    };
    alice.sees("that the name has another key", refused).await;
    alice.does(restore(words.join(" "))).await;
    let username = "alice".to_owned();
    assert_eq!(alice.sees("the key restored", restored).await, RestoreView::Done { username });
    alice.does(Command::SignIn { username: "alice".into(), server: server.url(), invite: String::new() }).await;
    alice.sees("home", is_home).await;
    alice.does(Command::SignOut).await;
    // A key that a server knows is not overwritten.
    let other = format!("{} art", ["abandon"; 23].join(" "));
    alice.does(restore(other)).await;
    let RestoreView::Failed { why } = alice.sees("the refusal", restored).await else { panic!("it was overwritten") };
    assert!(why.contains("another key"), "{why}");
    alice.app.quit().await;
}
