//! Settings and files, and what is refused.

use super::*;

#[test]
fn settings_are_checked_kept_and_shown() {
    let mut window = Window::home();
    window.command(Command::SetTheme { theme: Theme::Dark });
    window.command(Command::SetLetterKeys { on: false });
    window.command(Command::SetRingVolume { volume: 0.25 });
    let settings = window.view().settings;
    assert_eq!((settings.theme, settings.letter_keys, settings.ring_volume), (Theme::Dark, false, 0.25));
    assert_eq!(window.effects(), [Effect::WriteSettings, Effect::WriteSettings, Effect::WriteSettings]);
    for volume in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
        assert_eq!(window.refuses(Command::SetRingVolume { volume }), CommandErrorCode::Invalid);
    }
}

#[test]
fn buttons_of_another_screen_do_nothing() {
    let dial = || Command::Dial { username: "carol".into(), video: true };
    let of_a_call = [
        Command::Accept { from: "bob".into(), video: true },
        Command::Decline { from: "bob".into() },
        Command::HangUp,
        Command::SetMuted { muted: true },
        Command::SetCamera { on: false },
        Command::CloseEnded,
    ];
    for command in of_a_call {
        assert_eq!(Window::home().refuses(command.clone()), CommandErrorCode::OutOfPlace);
        assert_eq!(Window::nobody().refuses(command), CommandErrorCode::OutOfPlace);
    }
    for command in [dial(), Command::SignOut, Command::RemovePerson { username: "bob".into() }] {
        assert_eq!(Window::nobody().refuses(command), CommandErrorCode::OutOfPlace);
    }
    assert_eq!(Window::in_call().refuses(dial()), CommandErrorCode::OutOfPlace);
    let mut ringing = Window::home();
    ringing.rings(7, "bob");
    ringing.effects();
    for command in [dial(), Command::HangUp, Command::TestSpeaker, Command::SetMuted { muted: true }] {
        assert_eq!(ringing.refuses(command), CommandErrorCode::OutOfPlace);
    }
}

#[test]
fn nobody_can_be_called_by_what_is_no_name() {
    let mut window = Window::home();
    for username in ["", "  ", "two words", "<b>", "alice", "ALICE", &"b".repeat(100_000)] {
        let code = window.refuses(Command::Dial { username: username.into(), video: true });
        assert_eq!(code, CommandErrorCode::Invalid, "{username:.20}");
    }
}

#[test]
fn signing_out_in_a_call_ends_it_and_leaves_nothing_on_the_screen() {
    let mut window = Window::in_call();
    window.wait(3);
    window.command(Command::SignOut);
    assert_eq!(window.sign_in_problem(), (false, None));
    assert_eq!(window.view().people, []);
    let effects = window.effects();
    assert!(effects.contains(&Effect::StopClient));
    assert_eq!(kept(&effects).unwrap().find(&name("bob")).unwrap().last.as_ref().unwrap().seconds, Some(3));
    assert_eq!(window.refuses(Command::SignOut), CommandErrorCode::OutOfPlace);
}

#[test]
fn a_client_that_fails_is_said_and_asked_for_again() {
    let mut window = Window::home();
    window.input(Input::ClientFailed("the folder cannot be used".into()));
    assert_eq!(window.sign_in_problem(), (false, Some("The folder cannot be used.".into())));
    let mut window = Window::home();
    window.command(Command::Dial { username: "bob".into(), video: true });
    window.input(Input::Dialled(Err("no randomness".into())));
    assert_eq!((window.screen(), window.notices().len()), (Screen::Home, 1));
}

#[test]
fn a_damaged_file_is_told_of_and_begun_anew_but_one_that_cannot_be_read_is_left_alone() {
    let path = std::path::PathBuf::from("/data/settings.json");
    let now = Now::default();
    let kept = path.with_extension("damaged-1.json");
    let damaged = FileError::Damaged { path: path.clone(), what: "no JSON".into(), kept };
    let mut state = State::new(&Options::new("/data".into()), Err(damaged), now);
    assert!(state.view().notices[0].text.contains("damaged-1"));
    state.command(now, Command::SetLetterKeys { on: false }).unwrap();
    assert_eq!(state.poll_effect(), Some(Effect::WriteSettings));
    let unreadable = FileError::Read { path, source: std::io::Error::other("permission denied") };
    let mut state = State::new(&Options::new("/data".into()), Err(unreadable), now);
    assert_eq!(state.view().notices[0].tone, Tone::Danger);
    state.command(now, Command::SetLetterKeys { on: false }).unwrap();
    assert_eq!(state.poll_effect(), None, "what is there may be whole");
}

#[test]
fn people_that_cannot_be_read_are_told_of_and_not_written_over() {
    let mut window = Window::new(&Options::new("/data".into()), remembered());
    let source = std::io::Error::other("permission denied");
    let unreadable = FileError::Read { path: "/data/alice/people.json".into(), source };
    window.input(Input::PeopleRead(name("alice"), Err(unreadable)));
    assert!(window.notices()[0].contains("people.json"));
    window.effects();
    window.dial("bob");
    let effects = window.effects();
    assert_eq!(kept(&effects), None);
    assert!(effects.contains(&Effect::Tell(ToClient::SetContacts([name("bob")].into()))), "the call goes on");
}
