//! Requests: who asks, whether that is genuine, and what is answered (RFC 8489 §9.2.4, RFC 8656 §7 to §12).

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use stun_types::message::Message;

use super::allocation::{Allocation, NotGiven};
use super::{Client, Family, NoPort, Now, Ports, Relay, RelayId, Transport, is_guest};
use crate::limits::Network;
use crate::turn::credentials::{Account, account};
use crate::turn::message::{Answer, Attributes, attribute, method};
use crate::turn::metrics::Refused;

/// RFC 8656 §7.2, in seconds: what is given unasked, and the most that is given.
const LIFETIME_S: u32 = 600;
const LIFETIME_MAX_S: u32 = 3_600;
/// Of all allocations an IPv6 site (/48) may have one part of so many, and all guests together, whom anybody can be.
const SITE_PART: usize = 4;
const GUESTS_PART: usize = 2;
/// UDP, the only transport to peers.
const UDP: u8 = 17;

/// An error to be answered: its code, and what it is counted as.
type No = (u16, Refused);

const BAD_REQUEST: No = (400, Refused::Malformed);
/// There is none, or one already (RFC 8656 §7.2, §8.2).
const MISMATCH: No = (437, Refused::Malformed);

/// A request of somebody who has a password.
struct Genuine<'a> {
    now: Now,
    client: Client,
    request: &'a Message<'a>,
    asked: &'a Attributes<'a>,
    account: Account,
}

/// Why a request is not taken for genuine, and who learns of it.
struct Denied {
    no: No,
    to: Asking,
}

/// What is known of who asks.
enum Asking {
    /// Nothing; so few are answered, as their address may be another's.
    Stranger,
    /// Their address had too many wrong passwords lately; not answered.
    Guesser,
    /// They have a password; always answered.
    Known,
}

impl Relay {
    /// Answers a request. `None`: there is none to give.
    pub(super) fn request(
        &mut self,
        now: Now,
        client: Client,
        request: &Message<'_>,
        asked: &Attributes<'_>,
        ports: &mut dyn Ports,
    ) -> Option<Vec<u8>> {
        if request.method().value() == method::BINDING {
            self.metrics.binding_requests.fetch_add(1, Relaxed);
            return self.unproven(now, client, || {
                if asked.unknown.is_empty() {
                    Answer::success(request).with_address(attribute::XOR_MAPPED_ADDRESS, client.address).unsigned()
                } else {
                    unknown(request, asked).unsigned()
                }
            });
        }
        let account = match self.authenticate(now, client, request, asked) {
            Ok(account) => account,
            Err(Denied { no: (code, why), to }) => {
                self.metrics.refuse(why);
                let nonce = matches!(code, 401 | 438).then(|| self.nonces.make(now.unix, client.address));
                let answer = || match nonce {
                    Some(nonce) => Answer::error(request, code).with_challenge(&nonce).unsigned(),
                    None => Answer::error(request, code).unsigned(),
                };
                return match to {
                    Asking::Stranger => self.unproven(now, client, answer),
                    Asking::Guesser => None,
                    Asking::Known => Some(answer()),
                };
            }
        };
        if !asked.unknown.is_empty() {
            self.metrics.refuse(Refused::Malformed);
            return Some(unknown(request, asked).signed(&account.key));
        }
        let genuine = Genuine { now, client, request, asked, account };
        let outcome = match request.method().value() {
            _ if asked.malformed => Err(BAD_REQUEST),
            method::ALLOCATE => self.allocate(&genuine, ports),
            method::REFRESH => self.refresh(&genuine, ports),
            method::CREATE_PERMISSION => self.create_permission(&genuine, ports),
            method::CHANNEL_BIND => self.channel_bind(&genuine, ports),
            _ => Err(BAD_REQUEST),
        };
        match outcome {
            Ok(answer) => Some(answer),
            Err((code, why)) => {
                self.metrics.refuse(why);
                let allocation = self.clients.get(&client).and_then(|relay| self.allocations.get_mut(relay));
                // Clients ask for each of a call's addresses, and some for the same one again and again.
                let tells = code != 403 || allocation.is_none_or(|found| found.tells_of_refusal(now.instant));
                tells.then(|| Answer::error(request, code).signed(&genuine.account.key))
            }
        }
    }

    /// An answer to somebody who proved nothing, as far as that address gets any. A connection proves its address, and the
    /// answers to it are bounded by what it reads.
    fn unproven(&mut self, now: Now, client: Client, answer: impl FnOnce() -> Vec<u8>) -> Option<Vec<u8>> {
        let is_stream = matches!(client.transport, Transport::Stream(_));
        if is_stream || self.unproven.take(client.address.ip().into(), now.instant) {
            return Some(answer());
        }
        self.metrics.refuse(Refused::Rate);
        None
    }

    /// Whose request it is. Beyond the request itself it is checked whether an allocation is asked for by its owner. The
    /// signature is looked at before any limit: what strangers do in the name of an address, which over UDP they need not
    /// have, must not shut out those who have a password. It costs less than the answer would.
    fn authenticate(
        &mut self,
        now: Now,
        client: Client,
        request: &Message<'_>,
        asked: &Attributes<'_>,
    ) -> Result<Account, Denied> {
        if !asked.integrity {
            // The way every client begins, so nothing is counted as wrong but what is repeated without end.
            return Err(Denied { no: (401, Refused::Auth), to: Asking::Stranger });
        }
        let (Some(username), Some(nonce), true) = (asked.username, asked.nonce, asked.realm) else {
            return Err(Denied { no: BAD_REQUEST, to: Asking::Stranger });
        };
        let account = account(&self.secret, username);
        let account = account.filter(|account| request.validate_integrity_with_key(&account.key).is_ok());
        let Some(account) = account else {
            // With a nonce that is stale besides, too (RFC 8489 §9.2.4).
            return Err(if self.forged.take(client.address.ip().into(), now.instant) {
                Denied { no: (401, Refused::Auth), to: Asking::Stranger }
            } else {
                Denied { no: (401, Refused::Rate), to: Asking::Guesser }
            });
        };
        let denied = |no| Err(Denied { no, to: Asking::Known });
        if !self.nonces.is_fresh(nonce, now.unix, client.address) {
            return denied((438, Refused::Auth));
        }
        match self.living(now, client).ok() {
            // What was begun in time goes on: a call may be longer than its credentials hold.
            Some(allocation) if allocation.name == account.name => Ok(account),
            Some(_) => denied((441, Refused::Auth)),
            None if account.expiry <= now.unix => denied((401, Refused::Expired)),
            None => Ok(account),
        }
    }

    fn allocate(&mut self, genuine: &Genuine<'_>, ports: &mut dyn Ports) -> Result<Vec<u8>, No> {
        let &Genuine { now, client, request, asked, ref account } = genuine;
        if let Some(relay) = self.clients.get(&client).copied() {
            let found = self.allocations.get(&relay).filter(|found| now.instant < found.expires);
            match found {
                Some(allocation) if allocation.made_by.0 == request.transaction_id() => {
                    return Ok(allocation.made_by.1.clone());
                }
                Some(_) => return Err(MISMATCH),
                None => self.end(relay, ports),
            }
        }
        match asked.transport {
            Some(UDP) => {}
            Some(_) => return Err((442, Refused::Malformed)),
            None => return Err(BAD_REQUEST),
        }
        let family = match asked.family {
            None | Some(1) => Family::V4,
            Some(2) => Family::V6,
            Some(_) => return Err((440, Refused::Malformed)),
        };
        if asked.reserves {
            return Err((508, Refused::Capacity));
        }
        let is_guest = is_guest(&account.name);
        self.check_quota(client, account, is_guest)?;
        self.next += 1;
        let relay = RelayId(self.next);
        let relayed = ports.open(relay, &client, family).map_err(|error| match error {
            NoPort::Family => (440, Refused::Capacity),
            NoPort::Taken => (508, Refused::Capacity),
        })?;
        let lifetime_s = lifetime(asked);
        let answer = Answer::success(request)
            .with_address(attribute::XOR_RELAYED_ADDRESS, relayed)
            .with_address(attribute::XOR_MAPPED_ADDRESS, client.address)
            .with_lifetime(lifetime_s)
            .signed(&account.key);
        let bytes_per_s = if is_guest { self.limits.guest_bytes_per_s } else { self.limits.user_bytes_per_s };
        let made_by = (request.transaction_id(), answer.clone());
        let time = (now.instant, Duration::from_secs(lifetime_s.into()));
        let allocation = Allocation::new(client, account.name.clone(), relayed, made_by, time);
        self.users.begin(&account.name, bytes_per_s, now.instant);
        for (network, _) in allocation.network.with_site() {
            *self.networks.entry(network).or_default() += 1;
        }
        self.guests += usize::from(is_guest);
        self.allocations.insert(relay, allocation);
        self.clients.insert(client, relay);
        self.relayed.insert(relayed, relay);
        self.gauge(&client).fetch_add(1, Relaxed);
        self.metrics.allocated.fetch_add(1, Relaxed);
        tracing::debug!(relay = relay.0, "a relay begins");
        Ok(answer)
    }

    fn check_quota(&self, client: Client, account: &Account, is_guest: bool) -> Result<(), No> {
        let limits = &self.limits;
        let user_max = if is_guest { limits.guest_allocations } else { limits.user_allocations };
        let users = self.users.allocations(&account.name);
        let network = Network::from(client.address.ip());
        let is_full = network.with_site().any(|(network, many)| {
            let most = limits.address_allocations.saturating_mul(many);
            let most = if many > 1 { most.min(limits.allocations.div_ceil(SITE_PART)) } else { most };
            self.networks.get(&network).is_some_and(|count| *count >= most)
        });
        if users >= user_max || is_full {
            return Err((486, Refused::Quota));
        }
        let is_full_of_guests = is_guest && self.guests >= limits.allocations.div_ceil(GUESTS_PART);
        if self.allocations.len() >= limits.allocations || is_full_of_guests {
            return Err((508, Refused::Capacity));
        }
        Ok(())
    }

    fn refresh(&mut self, genuine: &Genuine<'_>, ports: &mut dyn Ports) -> Result<Vec<u8>, No> {
        let &Genuine { now, client, request, asked, ref account } = genuine;
        let relay = *self.clients.get(&client).ok_or(MISMATCH)?;
        let allocation = self.living(now, client)?;
        let is_v6 = allocation.relayed.is_ipv6();
        if asked.family.is_some_and(|family| (family == 2) != is_v6) {
            return Err((443, Refused::Malformed));
        }
        let lifetime_s = if asked.lifetime_s == Some(0) { 0 } else { lifetime(asked) };
        allocation.expires = now.instant + Duration::from_secs(lifetime_s.into());
        if lifetime_s == 0 {
            self.end(relay, ports);
        }
        Ok(Answer::success(request).with_lifetime(lifetime_s).signed(&account.key))
    }

    fn create_permission(&mut self, genuine: &Genuine<'_>, ports: &dyn Ports) -> Result<Vec<u8>, No> {
        let &Genuine { now, client, request, asked, ref account } = genuine;
        let max = self.limits.permissions;
        self.living(now, client)?;
        if asked.peers.is_empty() {
            return Err(BAD_REQUEST);
        }
        // All or none (RFC 8656 §10.2).
        let own =
            asked.peers.iter().map(|peer| self.judge(now, client, *peer, ports)).collect::<Result<Vec<_>, No>>()?;
        let addresses: Vec<IpAddr> = asked.peers.iter().map(std::net::SocketAddr::ip).collect();
        let allocation = self.living(now, client)?;
        if !allocation.has_room_for(&addresses, max, now.instant) {
            return Err((508, Refused::Capacity));
        }
        for (address, own) in addresses.into_iter().zip(own) {
            allocation.permit(address, own, now.instant);
        }
        Ok(Answer::success(request).signed(&account.key))
    }

    fn channel_bind(&mut self, genuine: &Genuine<'_>, ports: &dyn Ports) -> Result<Vec<u8>, No> {
        let &Genuine { now, client, request, asked, ref account } = genuine;
        let limits = self.limits;
        self.living(now, client)?;
        let (Some(number @ 0x4000..=0x7FFF), &[peer]) = (asked.channel, &asked.peers[..]) else {
            return Err(BAD_REQUEST);
        };
        let own = self.judge(now, client, peer, ports)?;
        let allocation = self.living(now, client)?;
        if !allocation.has_room_for(&[peer.ip()], limits.permissions, now.instant) {
            return Err((508, Refused::Capacity));
        }
        allocation.bind(number, peer, limits.channels, now.instant).map_err(|why| match why {
            NotGiven::Taken => BAD_REQUEST,
            NotGiven::Full => (508, Refused::Capacity),
        })?;
        allocation.permit(peer.ip(), own, now.instant);
        Ok(Answer::success(request).signed(&account.key))
    }

    /// Whether a peer may be reached, and whether it is an address of this machine: there only other relays are.
    fn judge(&mut self, now: Now, client: Client, peer: std::net::SocketAddr, ports: &dyn Ports) -> Result<bool, No> {
        let forbidden = Err((403, Refused::Peer));
        let other = self.relayed.get(&peer).and_then(|relay| self.allocations.get(relay));
        let meets_relay = other.is_some_and(|other| now.instant < other.expires);
        let allocation = self.living(now, client)?;
        if peer.is_ipv6() != allocation.relayed.is_ipv6() {
            return Err((443, Refused::Malformed));
        }
        // The permission is for all ports of an address, so it goes on when the relay that it was asked for is gone.
        if meets_relay || allocation.permission(peer.ip(), now.instant).is_some_and(|permission| permission.own) {
            return Ok(true);
        }
        if !self.may_reach(peer.ip()) || (ports.is_own(peer.ip()) && !self.allow_own) { forbidden } else { Ok(false) }
    }

    /// The client's allocation, unless it has expired.
    fn living(&mut self, now: Now, client: Client) -> Result<&mut Allocation, No> {
        let relay = self.clients.get(&client).ok_or(MISMATCH)?;
        self.allocations.get_mut(relay).filter(|found| now.instant < found.expires).ok_or(MISMATCH)
    }
}

/// RFC 8489 §6.3.1.
fn unknown(request: &Message<'_>, asked: &Attributes<'_>) -> Answer {
    let kinds: Vec<u8> = asked.unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
    Answer::error(request, 420).with(attribute::UNKNOWN_ATTRIBUTES, &kinds)
}

/// RFC 8656 §7.2: never less than what is given unasked.
fn lifetime(asked: &Attributes<'_>) -> u32 {
    asked.lifetime_s.unwrap_or(LIFETIME_S).clamp(LIFETIME_S, LIFETIME_MAX_S)
}
