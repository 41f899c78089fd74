//! What the window's title and the tray's menu say: the state in a few words, for those who do not look at the page.

use ahoy_app::AppView;
use ahoy_app::view::{CallStage, LinkView, OutgoingStage, Screen};

/// The window's title.
pub(crate) fn title(view: &AppView) -> String {
    match happening(&view.screen) {
        Some(happening) => format!("{happening} – Ahoy"),
        None => match view.people.iter().map(|person| person.missed).fold(0, u32::saturating_add) {
            0 => "Ahoy".to_owned(),
            missed => format!("({missed}) Ahoy"),
        },
    }
}

/// The first line of the tray's menu.
pub(crate) fn state(view: &AppView) -> String {
    if let Some(happening) = happening(&view.screen) {
        return happening;
    }
    let Some(account) = &view.account else { return "Not signed in".to_owned() };
    let username = &account.username;
    match &view.link {
        LinkView::SignedIn => format!("{username} can be called"),
        LinkView::SigningIn => format!("Signing in as {username}"),
        LinkView::Waiting { .. } => format!("{username} cannot be reached: no connection to the server"),
        LinkView::SignedOut => "Not signed in".to_owned(),
    }
}

/// What goes on with somebody, if something does.
fn happening(screen: &Screen) -> Option<String> {
    match screen {
        Screen::SignIn { .. } | Screen::Home | Screen::Ended { .. } => None,
        Screen::Incoming { party, .. } => Some(format!("{} is calling", party.username)),
        Screen::Outgoing { party, stage, .. } => Some(match stage {
            OutgoingStage::Reaching => format!("Calling {}", party.username),
            OutgoingStage::Ringing { .. } => format!("Ringing at {}", party.username),
        }),
        Screen::Call(call) => Some(match call.stage {
            CallStage::Connecting => format!("Connecting to {}", call.party.username),
            CallStage::Connected { .. } => format!("Call with {}", call.party.username),
            CallStage::Reconnecting => format!("Reconnecting to {}", call.party.username),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ahoy_app::view::{
        AccountView, DevicesView, HideAddress, PartyView, PersonView, PreviewView, SettingsView, Theme,
    };

    fn view(screen: Screen) -> AppView {
        AppView {
            screen,
            account: Some(AccountView { username: "alice".into(), server: "ahoy.example".into() }),
            link: LinkView::SignedIn,
            people: Vec::new(),
            devices: DevicesView::default(),
            settings: SettingsView {
                theme: Theme::System,
                letter_keys: true,
                ring_volume: 1.0,
                noise_suppression: true,
                hide_address: HideAddress::Never,
            },
            preview: PreviewView::default(),
            phrase: None,
            notices: Vec::new(),
        }
    }

    fn bob() -> PartyView {
        PartyView { username: "bob".into(), name: Some("Alice".into()), device: None, trust: None }
    }

    #[test]
    fn a_title_names_the_username_and_not_what_the_caller_calls_himself() {
        let ringing = view(Screen::Incoming { party: bob(), video: true });
        assert_eq!(title(&ringing), "bob is calling – Ahoy");
        assert_eq!(state(&ringing), "bob is calling");
    }

    #[test]
    fn missed_calls_are_counted_in_the_title_at_rest() {
        let mut home = view(Screen::Home);
        assert_eq!(title(&home), "Ahoy");
        let person = |missed| PersonView {
            username: "bob".into(),
            online: None,
            known: true,
            last: None,
            missed,
            blocked: false,
            verified: false,
            new_key: None,
        };
        home.people = vec![person(2), person(1)];
        assert_eq!(title(&home), "(3) Ahoy");
    }

    #[test]
    fn the_tray_tells_whether_one_can_be_called() {
        let mut home = view(Screen::Home);
        assert_eq!(state(&home), "alice can be called");
        home.link = LinkView::Waiting { why: "no network".into() };
        assert_eq!(state(&home), "alice cannot be reached: no connection to the server");
        home.account = None;
        home.link = LinkView::SignedOut;
        assert_eq!(state(&home), "Not signed in");
    }
}
