//! The addresses of this machine, as they come and go. There is a notice of that in each system, and it is another one in
//! each; looking twice a second costs microseconds and is the same everywhere. The link and the calls go by the same look,
//! so that they never disagree on which network the machine is in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use getifaddrs::InterfaceFlags;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

/// How often is looked. What hangs on it is to be mended within three seconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The addresses of the interfaces that carry something now.
#[derive(Debug)]
pub(crate) struct Addresses {
    now: watch::Receiver<BTreeSet<IpAddr>>,
}

impl Addresses {
    /// Looks now, and again until this and all that came of it are dropped. Called within tokio.
    pub(crate) fn watch() -> Self {
        let (sender, now) = watch::channel(look().unwrap_or_default());
        tokio::spawn(async move {
            let mut looks = interval(LOOK_INTERVAL);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = sender.closed() => return,
                    _ = looks.tick() => {}
                }
                let Some(found) = look() else { continue };
                sender.send_if_modified(|known| {
                    let changed = *known != found;
                    *known = found;
                    changed
                });
            }
        });
        Self { now }.for_another()
    }

    /// The same look for somebody else, to whom what is there now is news.
    pub(crate) fn for_another(&self) -> Self {
        let mut now = self.now.clone();
        now.mark_changed();
        Self { now }
    }

    /// The addresses, once they are others than before, and at first. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// When nobody looks any more, which is at the end of the program.
    pub(crate) async fn changed(&mut self) -> Result<BTreeSet<IpAddr>, watch::error::RecvError> {
        self.now.changed().await?;
        Ok(self.now.borrow_and_update().clone())
    }
}

fn look() -> Option<BTreeSet<IpAddr>> {
    let interfaces = match getifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            debug!(%error, "the machine does not tell its addresses");
            return None;
        }
    };
    // A cable that is pulled leaves its interface the address, but not the carrier.
    let carries = InterfaceFlags::UP | InterfaceFlags::RUNNING;
    let carrying = interfaces.filter(|interface| interface.flags.contains(carries));
    Some(carrying.filter_map(|interface| interface.address.ip_addr()).collect())
}

/// The own address that a path leaves by, and whether this machine has it.
#[derive(Debug, Default)]
pub(crate) struct OwnAddress {
    address: Option<IpAddr>,
    /// It was among the machine's. One that a server made up, or that a system keeps to itself, never is.
    was_there: bool,
    /// What the machine has, as far as it was told.
    present: BTreeSet<IpAddr>,
}

impl OwnAddress {
    /// Another path is in use.
    pub(crate) fn set(&mut self, address: Option<IpAddr>) {
        self.was_there = address.is_some_and(|address| self.present.contains(&address));
        self.address = address;
    }

    /// The machine has these now. Whether the path's is gone since it was last asked.
    pub(crate) fn is_gone(&mut self, present: &BTreeSet<IpAddr>) -> bool {
        self.present.clone_from(present);
        let is_there = self.address.is_some_and(|address| present.contains(&address));
        let is_gone = self.was_there && !is_there;
        self.was_there = is_there;
        is_gone
    }
}

/// The own address that the link was connected from, and when a change of network is a reason to open the link anew.
#[derive(Debug, Default)]
pub(crate) struct LinkAddress {
    own: OwnAddress,
    /// What the machine has was told once.
    is_known: bool,
}

impl LinkAddress {
    /// The link is connected from there; `None`: another is being opened.
    pub(crate) fn set(&mut self, address: Option<IpAddr>) {
        self.own.set(address);
    }

    /// The machine has these now. Whether the link is to be opened anew: its address is gone, so nothing comes through any
    /// more, though no error tells; or there is no link and a new address, by which it may be reached at once.
    pub(crate) fn changed(&mut self, present: &BTreeSet<IpAddr>, is_signed_in: bool) -> bool {
        let has_appeared = self.is_known && !present.is_subset(&self.own.present);
        self.is_known = true;
        self.own.is_gone(present) || (has_appeared && !is_signed_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn these(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn the_address_of_a_path_is_gone_once_each_time_that_it_goes() {
        let mut own = OwnAddress::default();
        let (both, other) = (these(&["192.0.2.1", "192.0.2.2"]), these(&["192.0.2.2"]));
        assert!(!own.is_gone(&both), "there is no path yet");
        own.set("192.0.2.1".parse().ok());
        assert!(!own.is_gone(&both));
        assert!(own.is_gone(&other));
        assert!(!own.is_gone(&other), "that is known");
        assert!(!own.is_gone(&both));
        assert!(own.is_gone(&other), "again");
        own.set("192.0.2.2".parse().ok());
        assert!(!own.is_gone(&both), "another that comes changes nothing");
    }

    #[test]
    fn an_address_that_the_machine_never_had_cannot_go() {
        let mut own = OwnAddress::default();
        own.is_gone(&these(&["192.0.2.1"]));
        own.set("203.0.113.7".parse().ok());
        assert!(!own.is_gone(&these(&[])));
        own.set(None);
        assert!(!own.is_gone(&these(&["192.0.2.1"])));
    }

    #[test]
    fn a_link_whose_address_goes_is_opened_anew() {
        let mut link = LinkAddress::default();
        let (first, both, second) = (these(&["192.0.2.1"]), these(&["192.0.2.1", "192.0.2.2"]), these(&["192.0.2.2"]));
        link.changed(&first, false);
        link.set("192.0.2.1".parse().ok());
        assert!(!link.changed(&both, true), "one that only appears changes nothing");
        assert!(link.changed(&second, true));
        link.set(None);
        link.set("192.0.2.3".parse().ok());
        assert!(!link.changed(&these(&["192.0.2.2", "192.0.2.3"]), true), "it was connected before it was looked");
        assert!(link.changed(&second, true));
    }

    #[test]
    fn a_link_that_is_not_up_is_opened_when_an_address_appears() {
        let mut link = LinkAddress::default();
        let (none, one) = (these(&["127.0.0.1"]), these(&["127.0.0.1", "192.0.2.1"]));
        assert!(!link.changed(&one, false), "what is there at the start is no news");
        assert!(!link.changed(&none, false), "nor is there a way when one goes");
        assert!(link.changed(&one, false));
        assert!(!link.changed(&one, false));
    }

    #[tokio::test]
    async fn the_addresses_of_this_machine_are_told_to_each_at_first() {
        let mut addresses = Addresses::watch();
        let found = addresses.changed().await.unwrap();
        assert!(found.contains(&IpAddr::from([127, 0, 0, 1])), "{found:?}");
        assert!(addresses.for_another().changed().await.unwrap().contains(&IpAddr::from([127, 0, 0, 1])));
    }
}
