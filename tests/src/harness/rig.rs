//! Two homes and the internet between them, made of the kernel's own network: A - router A - S - router B - B, each a network
//! namespace, joined by veth. The server runs in S, a peer at each end. What goes wrong in networks can be done to either end:
//! a cut, another address, another interface, a router that translates addresses, a network that lets no UDP pass.
//!
//! Unlike [`super::lab`], which loses and delays packets and has one address an end, this one has routes, addresses and
//! translators, and no delay. Needs root, `ip` (iproute2) and for translators `nft` (nftables); a machine without them skips.

mod capture;
mod gaps;
mod space;

use std::net::Ipv4Addr;

pub use capture::{Capture, Packet};
pub use gaps::{longest_freeze, longest_silence, now_ns};

use self::space::Space;
use super::lab::End;
use super::{Cli, Server, skipped};

/// The five namespaces. They end when it is dropped and nothing runs in them any more.
#[derive(Debug)]
pub struct Rig {
    internet: Space,
    homes: [Home; 2],
}

/// How the router of an end translates addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// Not at all: the end's own address is known everywhere.
    None,
    /// One outside port for each inside port, and in comes only what answers: endpoint-independent mapping, address- and
    /// port-dependent filtering (RFC 4787 §4.1, §5).
    PortRestricted,
    /// Another outside port for each destination: address- and port-dependent mapping (RFC 4787 §4.1). Two such cannot be
    /// joined without a relay.
    Symmetric,
}

#[derive(Debug)]
struct Home {
    router: Space,
    end: Space,
    /// Numbers its networks: 10.77.N.0/24 inside, 10.77.N+10.0/24 the second inside, 10.78.N.0/24 to the internet.
    number: u8,
}

/// The server's address. Of a private network, as plain `ws://` goes nowhere else.
const INTERNET: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);

impl Rig {
    /// Makes one without translators. `None`: this machine cannot have one, which is said.
    ///
    /// # Panics
    /// When it cannot be made although it should.
    #[must_use]
    #[track_caller]
    pub fn start() -> Option<Self> {
        Self::start_behind([Nat::None; 2])
    }

    /// Makes one with the router of A and that of B as told.
    ///
    /// # Panics
    /// When it cannot be made although it should.
    #[must_use]
    #[track_caller]
    pub fn start_behind(nats: [Nat; 2]) -> Option<Self> {
        let lacking = space::lacking(nats != [Nat::None; 2]);
        let spaces = lacking.map_or_else(|| (0..5).map(|_| Space::new()).collect::<Result<Vec<_>, _>>(), Err);
        let spaces = match spaces {
            Ok(spaces) => spaces,
            Err(why) => {
                skipped(why);
                return None;
            }
        };
        let mut spaces = spaces.into_iter();
        let mut next = || spaces.next().expect("five were made");
        let internet = next();
        internet.ip(&[&format!("address add {INTERNET}/32 dev lo")]);
        internet.forward_packets();
        let homes = [1, 2].map(|number| Home { router: next(), end: next(), number });
        for (home, nat) in homes.iter().zip(nats) {
            home.join(&internet, nat);
        }
        Some(Self { internet, homes })
    }

    /// The server, in S, with further arguments.
    #[must_use]
    pub fn server(&self, arguments: &[&str]) -> Server {
        self.in_the_internet(|| Server::start_at(&format!("{INTERNET}:0"), arguments))
    }

    /// A peer for that end, which speaks over its network. Start it with [`Self::enter`].
    #[must_use]
    pub fn cli(server: &Server, user: &str) -> Cli {
        Cli::new(server, user).over_the_network()
    }

    /// Runs `f` with this thread at that end: sockets that it opens and programs and threads that it starts belong there and
    /// stay there. Afterwards the thread is where it was.
    pub fn enter<T>(&self, end: End, f: impl FnOnce() -> T) -> T {
        self.home(end).end.enter(f)
    }

    /// The same in S.
    pub fn in_the_internet<T>(&self, f: impl FnOnce() -> T) -> T {
        self.internet.enter(f)
    }

    /// Where the server is.
    #[must_use]
    pub fn internet_address(&self) -> Ipv4Addr {
        INTERNET
    }

    /// The address that an end has at first, on its first interface.
    #[must_use]
    pub fn address(&self, end: End) -> Ipv4Addr {
        self.home(end).inside(0, 2)
    }

    /// The address of an end's router in the internet: what a translated end is seen under.
    #[must_use]
    pub fn router_address(&self, end: End) -> Ipv4Addr {
        self.home(end).outside(2)
    }

    /// From now on nothing passes the router of that end, either way, and nobody is told.
    pub fn cut(&self, end: End) {
        self.home(end).router.ip(&["rule add pref 1 blackhole"]);
    }

    /// Ends [`Self::cut`].
    pub fn mend(&self, end: End) {
        self.home(end).router.ip(&["rule delete pref 1"]);
    }

    /// From now on no UDP passes the router of that end, either way, and nobody is told.
    pub fn block_udp(&self, end: End) {
        self.home(end).router.ip(&["rule add pref 2 ipproto udp blackhole"]);
    }

    /// The first interface of that end gets another address in place of the one it has, the same network's with `last` as its
    /// last byte (3 to 254), as when a lease runs out. Gives the address.
    pub fn set_address(&self, end: End, last: u8) -> Ipv4Addr {
        let home = self.home(end);
        let address = home.inside(0, last);
        home.end.ip(&[
            "address flush dev eth0",
            &format!("address add {address}/24 dev eth0"),
            &format!("route replace default via {} dev eth0 metric 600", home.inside(0, 1)),
        ]);
        address
    }

    /// That end gets a second interface, which is preferred to the first, as when a cable is plugged in beside the Wi-Fi.
    /// Gives its address. Once an end.
    pub fn second_interface(&self, end: End) -> Ipv4Addr {
        let home = self.home(end);
        home.lead_inside(1, 100);
        home.inside(1, 2)
    }

    /// The first interface of that end goes down, and with it its address and routes.
    pub fn interface_down(&self, end: End) {
        self.home(end).end.ip(&["link set eth0 down"]);
    }

    /// The first interface comes back as it was at first.
    pub fn interface_up(&self, end: End) {
        let home = self.home(end);
        home.end
            .ip(&["link set eth0 up", &format!("route replace default via {} dev eth0 metric 600", home.inside(0, 1))]);
    }

    /// Records from now on what leaves that end.
    ///
    /// # Panics
    /// When there is no such socket.
    #[must_use]
    pub fn capture(&self, end: End) -> Capture {
        let home = self.home(end);
        home.end.enter(|| Capture::start(home.number))
    }

    fn home(&self, end: End) -> &Home {
        match end {
            End::A => &self.homes[0],
            End::B => &self.homes[1],
        }
    }
}

impl Home {
    /// Joins the end to the router and the router to the internet.
    fn join(&self, internet: &Space, nat: Nat) {
        let (site, here, there) = (self.number, self.outside(2), self.outside(1));
        self.router.forward_packets();
        self.router.join("out", internet, &format!("to{site}"));
        self.router.ip(&[
            &format!("address add {here}/24 dev out"),
            "link set out up",
            &format!("route add default via {there}"),
        ]);
        internet.ip(&[&format!("address add {there}/24 dev to{site}"), &format!("link set to{site} up")]);
        if nat == Nat::None {
            let routes =
                [0, 1].map(|network| format!("route add {}/24 via {here} dev to{site}", self.inside(network, 0)));
            internet.ip(&[&routes[0], &routes[1]]);
        } else {
            self.router.nft(&translator(nat));
        }
        self.lead_inside(0, 600);
    }

    /// Joins the end to the router by one more network.
    fn lead_inside(&self, network: u8, metric: u16) {
        let [router, end] = [1, 2].map(|last| self.inside(network, last));
        self.end.join(&format!("eth{network}"), &self.router, &format!("in{network}"));
        self.router.ip(&[&format!("address add {router}/24 dev in{network}"), &format!("link set in{network} up")]);
        self.end.ip(&[
            &format!("address add {end}/24 dev eth{network}"),
            &format!("link set eth{network} up"),
            &format!("route add default via {router} dev eth{network} metric {metric}"),
        ]);
    }

    fn inside(&self, network: u8, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number + 10 * network, last)
    }

    fn outside(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, self.number, last)
    }
}

/// The rules of a router that translates. What nobody inside asked for is dropped without a word, also before it reaches the
/// router itself: the kernel would note such a packet as a connection of its own, whose port the next mapping would avoid.
fn translator(nat: Nat) -> String {
    let randomly = if nat == Nat::Symmetric { " fully-random" } else { "" };
    let unasked = "iifname \"out\" ct state new,invalid drop";
    format!(
        "table ip translator {{\n\
         chain post {{\ntype nat hook postrouting priority srcnat\noifname \"out\" masquerade{randomly}\n}}\n\
         chain forward {{\ntype filter hook forward priority filter\n{unasked}\n}}\n\
         chain input {{\ntype filter hook input priority filter\n{unasked}\n}}\n\
         }}\n"
    )
}
