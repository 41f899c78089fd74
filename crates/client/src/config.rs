//! What a [`crate::Client`] is started with. Plain data; reading flags and settings files is the caller's business.

use std::path::PathBuf;

use ahoy_call::Timers;
use ahoy_media::spec::SinkSpec;
use ahoy_protocol::id::{IdError, Username};
use ahoy_transport::{IceServer, VideoCodec};
use url::Url;

use crate::media_devices::MediaDevices;

/// Everything that a client needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The signaling server's WebSocket URL.
    pub server: ServerUrl,
    /// Who signs in.
    pub account: Account,
    /// Lets a new name in where the server's operator invites; whoever has their name needs none.
    pub invite: Option<String>,
    /// The owner's folder for keys, pins and the device's session id. Made when missing.
    pub data_dir: PathBuf,
    /// Where the account's key is kept.
    pub keys: KeyPlace,
    /// Usernames whose devices may prepare the path while this one rings, and may know its name.
    pub contacts: Vec<Username>,
    /// Usernames of whom nothing is to be heard: their calls do not ring, and are not answered by a word.
    pub blocked: Vec<Username>,
    /// STUN and TURN servers beside those that the server names.
    pub ice_servers: Vec<IceServer>,
    /// From whom this machine's addresses are hidden: media through TURN only (RFC 8828 mode 4).
    pub hide_address: HideAddress,
    /// Use 127.0.0.1, for machines without a network.
    pub loopback: bool,
    /// Where pictures and sound come from and go to.
    pub media: MediaConfig,
    /// How long the rules of a call wait for what.
    pub timers: Timers,
    /// Free text that names this device to contacts.
    pub device: Option<String>,
    /// Free text to show beside the username.
    pub name: Option<String>,
}

/// Where an account's key is kept. One that is in the system's keyring stays there, whatever is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyPlace {
    /// In a file that only its owner can read.
    #[default]
    File,
    /// In the system's keyring, or in a file where there is none. One that is in a file moves.
    Keyring,
}

/// From whom this machine's addresses are hidden. Such calls take the way through a TURN server, and end in words where there
/// is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HideAddress {
    /// From nobody: direct paths are shorter.
    #[default]
    Never,
    /// From people who are no contacts when the call is set up.
    FromStrangers,
    /// From everybody.
    Always,
}

impl HideAddress {
    pub(crate) fn hides_from(self, is_contact: bool) -> bool {
        match self {
            Self::Never => false,
            Self::FromStrangers => !is_contact,
            Self::Always => true,
        }
    }
}

/// Where pictures and sound come from and go to.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Camera, microphone and speaker.
    pub devices: MediaDevices,
    /// What records the other side's picture.
    pub display: SinkSpec,
    /// What pictures may be coded in, the preferred first; of [`crate::video_codecs`].
    pub video_codecs: Vec<VideoCodec>,
    /// Send back what comes in instead of the camera and the microphone.
    pub echo: bool,
    /// Report every captured and shown picture ([`crate::Event::FrameCaptured`], [`crate::Event::FrameShown`]).
    pub frame_events: bool,
}

/// Who signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// An owner of a name, with a key (made at the first sign-in).
    Keyed(Username),
    /// A guest, without a key; the name begins with `guest-`.
    Guest(Username),
}

impl Account {
    /// An account as a person asks for it. A guest may leave the name out and gets a random one; `guest-` is put before
    /// a guest's name where it is missing.
    ///
    /// # Errors
    /// A name that the contract does not allow, a missing one, or a `guest-` name without `guest`.
    pub fn from_typed(name: Option<&str>, guest: bool) -> Result<Self, AccountError> {
        match (name, guest) {
            (Some(name), false) => {
                let username = Username::from_typed(name)?;
                if username.is_guest() { Err(AccountError::GuestName) } else { Ok(Self::Keyed(username)) }
            }
            (Some(name), true) if name.trim().to_ascii_lowercase().starts_with("guest-") => {
                Ok(Self::Guest(Username::from_typed(name)?))
            }
            (Some(name), true) => Ok(Self::Guest(Username::from_typed(&format!("guest-{}", name.trim()))?)),
            (None, true) => Ok(Self::Guest(format!("guest-{:08x}", crate::random::number()? as u32).parse()?)),
            (None, false) => Err(AccountError::NoName),
        }
    }

    /// The name.
    #[must_use]
    pub fn username(&self) -> &Username {
        match self {
            Self::Keyed(username) | Self::Guest(username) => username,
        }
    }
}

/// Why nobody can sign in like that.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not a username.
    #[error(transparent)]
    Name(#[from] IdError),
    /// Neither a name nor a guest.
    #[error("no username: give --user NAME, or --guest to call without an account")]
    NoName,
    /// A guest's name for an account.
    #[error("names that begin with guest- are for guests: add --guest, or choose another name")]
    GuestName,
    /// The system gave no randomness.
    #[error(transparent)]
    Random(#[from] crate::random::RandomError),
}

/// A signaling server's URL: `wss://` everywhere, `ws://` to loopback and private addresses only (section 1 of the contract).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

/// Why a URL is no signaling server's.
#[derive(Debug, thiserror::Error)]
pub enum ServerUrlError {
    /// Not a URL.
    #[error("{0} is not a URL; a server looks like wss://calls.example.org/ws")]
    NotAUrl(String),
    /// Neither `ws` nor `wss`.
    #[error("{0} does not begin with wss:// or ws://")]
    Scheme(String),
    /// Plain text across a network that others can read.
    #[error("ws:// is allowed to this machine and private addresses only; use wss:// for {0}")]
    PlainText(String),
}

impl ServerUrl {
    /// The URL to dial.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// `host` or `host:port` as dialled: what the sign-in's signature is bound to (section 3).
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl std::str::FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let mut url = Url::parse(text).map_err(|_| ServerUrlError::NotAUrl(text.into()))?;
        let private = match url.host() {
            None => return Err(ServerUrlError::NotAUrl(text.into())),
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        };
        match url.scheme() {
            "wss" => {}
            "ws" if private => {}
            "ws" => return Err(ServerUrlError::PlainText(url.host_str().unwrap_or_default().into())),
            _ => return Err(ServerUrlError::Scheme(text.into())),
        }
        if url.path() == "/" {
            url.set_path("/ws");
        }
        Ok(Self(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_dialled_in_plain_text_only_where_nobody_else_listens() {
        for good in [
            "wss://calls.example.org/ws",
            "ws://127.0.0.1:7000/ws",
            "ws://[::1]:7000/ws",
            "ws://192.168.1.2/ws",
            "ws://localhost",
        ] {
            assert!(good.parse::<ServerUrl>().is_ok(), "{good}");
        }
        for bad in ["", "calls.example.org", "http://localhost/ws", "ws://calls.example.org/ws", "ws://8.8.8.8/ws"] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
        assert_eq!("ws://localhost".parse::<ServerUrl>().unwrap().as_str(), "ws://localhost/ws");
    }

    #[test]
    fn the_authority_is_host_and_port_as_dialled() {
        let authority = |text: &str| text.parse::<ServerUrl>().unwrap().authority();
        assert_eq!(authority("wss://calls.example.org/ws"), "calls.example.org");
        assert_eq!(authority("ws://127.0.0.1:7000/ws"), "127.0.0.1:7000");
        assert_eq!(authority("ws://[::1]:7000/ws"), "[::1]:7000");
    }

    #[test]
    fn guests_and_owners_of_names_are_told_apart() {
        let account = |name, guest| Account::from_typed(name, guest);
        assert_eq!(account(Some("Alice"), false).unwrap(), Account::Keyed("alice".parse().unwrap()));
        assert_eq!(account(Some("Zoe"), true).unwrap(), Account::Guest("guest-zoe".parse().unwrap()));
        assert_eq!(account(Some("guest-zoe"), true).unwrap(), Account::Guest("guest-zoe".parse().unwrap()));
        assert!(account(None, true).unwrap().username().is_guest());
        assert!(account(None, false).is_err());
        assert!(account(Some("guest-zoe"), false).is_err());
    }
}
