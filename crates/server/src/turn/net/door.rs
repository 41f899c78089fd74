//! TCP and TLS connections and the places for them: so many in all, from one address, and from one site. A connection that
//! has no allocation proved nothing and may only stand there, so the oldest such makes room for the next one; who has an
//! allocation has shown a password and stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use tokio::sync::Notify;

use crate::limits::Network;
use crate::turn::relay::Client;

#[derive(Debug)]
pub(super) struct Door {
    most: usize,
    most_of_one: usize,
    /// In the order of their coming.
    inside: BTreeMap<u64, Visitor>,
    by_network: HashMap<Network, BTreeSet<u64>>,
    last: u64,
}

#[derive(Debug)]
struct Visitor {
    client: Client,
    make_room: Rc<Notify>,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    /// Tells the connection to end, for it has this place no more.
    pub(super) make_room: Rc<Notify>,
}

impl Door {
    /// Places for `most` connections, and for `most_of_one` from one address.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, inside: BTreeMap::new(), by_network: HashMap::new(), last: 0 }
    }

    /// A place for a connection, unless all that it could have are taken by such as `stays` says stay.
    pub(super) fn enter(&mut self, client: Client, stays: impl Fn(&Client) -> bool) -> Option<Place> {
        let network = Network::from(client.address.ip());
        // Whoever leaves its address leaves its site and the whole as well, so that nobody is sent away in vain.
        for (network, many) in network.with_site() {
            let there = self.by_network.get(&network);
            if there.is_some_and(|there| there.len() >= self.most_of_one.saturating_mul(many)) {
                let oldest = there.into_iter().flatten().copied().find(|number| self.may_go(*number, &stays));
                self.send_away(oldest?);
            }
        }
        if self.inside.len() >= self.most {
            let oldest = self.inside.keys().copied().find(|number| self.may_go(*number, &stays));
            self.send_away(oldest?);
        }
        self.last += 1;
        let (number, make_room) = (self.last, Rc::new(Notify::new()));
        self.inside.insert(number, Visitor { client, make_room: Rc::clone(&make_room) });
        for (network, _) in network.with_site() {
            self.by_network.entry(network).or_default().insert(number);
        }
        Some(Place { number, make_room })
    }

    /// A connection ended. Its place is free, if it still had it.
    pub(super) fn leave(&mut self, place: &Place) {
        self.remove(place.number);
    }

    fn may_go(&self, number: u64, stays: impl Fn(&Client) -> bool) -> bool {
        self.inside.get(&number).is_some_and(|visitor| !stays(&visitor.client))
    }

    fn send_away(&mut self, number: u64) {
        if let Some(visitor) = self.remove(number) {
            tracing::debug!(client = %visitor.client.address, "a connection without an allocation makes room");
            visitor.make_room.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Visitor> {
        let visitor = self.inside.remove(&number)?;
        for (network, _) in Network::from(visitor.client.address.ip()).with_site() {
            if let Some(numbers) = self.by_network.get_mut(&network) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_network.remove(&network);
                }
            }
        }
        Some(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::relay::Transport;

    fn client(address: &str) -> Client {
        Client { transport: Transport::Stream(1), address: address.parse().unwrap() }
    }

    /// Which of these were told to make room.
    async fn told(places: &[Place]) -> Vec<usize> {
        let mut told = Vec::new();
        for (at, place) in places.iter().enumerate() {
            tokio::select! {
                biased;
                () = place.make_room.notified() => told.push(at),
                () = std::future::ready(()) => {}
            }
        }
        told
    }

    #[tokio::test]
    async fn the_oldest_of_a_site_or_of_all_makes_room_unless_it_has_an_allocation() {
        let mut door = Door::new(20, 1);
        let stays = |client: &Client| client.address.port() == 7;
        // Sixteen networks of one site; the first stays.
        let port = |subnet| if subnet == 0 { 7 } else { 5 };
        let of_site = |subnet: u16| client(&format!("[2001:db8:7:{subnet:x}::1]:{}", port(subnet)));
        let mut places: Vec<Place> = (0..18).map(|subnet| door.enter(of_site(subnet), stays).unwrap()).collect();
        assert_eq!(told(&places).await, [1, 2]);
        // Others fill the rest; then the oldest of all goes.
        places.extend((0..6).map(|last| door.enter(client(&format!("192.0.2.{last}:7")), stays).unwrap()));
        assert_eq!(told(&places).await, [3, 4]);
        // One address has one place, and who has an allocation keeps it.
        assert!(door.enter(client("192.0.2.1:5"), stays).is_none());
        assert!(told(&places).await.is_empty());
        places.iter().for_each(|place| door.leave(place));
        assert!(door.inside.is_empty() && door.by_network.is_empty());
    }
}
