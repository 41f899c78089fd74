//! The registry with 10,000 signed in: whom a message reaches, who comes and goes. Its links are nothing but counted.

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::Arc;

use ahoy_protocol::id::{Address, CallId, DeviceAddress, SessionId, Username};
use ahoy_protocol::signal::{Answer, Restart, Signal};
use criterion::{BatchSize, Criterion, Throughput};
use tokio::time::Instant;

use crate::server::registry::{Registry, SignedIn};

const SIGNED_IN: usize = 10_000;
/// Contacts of the one who comes and goes; each of them lists that one too.
const CONTACTS: usize = 100;
/// From one to the next, so that memory is met as if by chance. Shares no divisor with [`SIGNED_IN`].
const STRIDE: usize = 7_919;

struct House {
    registry: Registry<Arc<()>>,
    all: Vec<SignedIn>,
    next: usize,
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut house = House::new();
    let mut group = criterion.benchmark_group("registry");
    group.throughput(Throughput::Elements(1));
    group.bench_function("relay to a device", |b| b.iter(|| house.relay()));
    group.throughput(Throughput::Elements(2));
    group.bench_function("offer and answer", |b| b.iter(|| house.call()));
    group.throughput(Throughput::Elements(1));
    group.bench_function("sign in and out", |b| b.iter(|| house.come_and_go(HashSet::new())));
    let contacts = house.befriend();
    group.bench_function("sign in and out, 100 contacts there", |b| {
        b.iter_batched(|| contacts.clone(), |contacts| house.come_and_go(contacts), BatchSize::SmallInput);
    });
    group.finish();
}

impl House {
    fn new() -> Self {
        let mut registry = Registry::new(0);
        let mut enter = |number: usize| {
            let address = DeviceAddress { username: name(number), session: SessionId::from_u64(number as u64) };
            registry.sign_in(address, None, String::new(), (None, None), Arc::new(())).expect("a name for each").who
        };
        let all = (0..SIGNED_IN).map(&mut enter).collect();
        Self { registry, all, next: 0 }
    }

    /// What passing on a message asks of the registry, between two who were not met for a while.
    fn relay(&mut self) {
        let (from, to) = self.two();
        let to = Address::Device(to.address);
        let signal = Signal::Restart(Restart { call: call(), n: 1 });
        assert!(self.registry.is_current(&from));
        assert_eq!(black_box(self.registry.reach(&to)).len(), 1);
        black_box(self.registry.relayed(&from, &to, &signal));
    }

    /// A call's first two messages, the only ones that the registry remembers.
    fn call(&mut self) {
        let (caller, callee) = self.two();
        let username = &callee.address.username;
        assert_eq!(self.registry.reach(&Address::User(username.clone())).len(), 1);
        black_box(self.registry.open(&caller, username, call(), Instant::now().into_std()));

        let to = Address::Device(caller.address);
        let answer = Answer { call: call(), n: 0, sdp: String::new(), early: false, key: None, signature: None };
        assert_eq!(black_box(self.registry.reach(&to)).len(), 1);
        black_box(self.registry.relayed(&callee, &to, &Signal::Answer(answer)));
    }

    fn come_and_go(&mut self, contacts: HashSet<Username>) {
        let address = DeviceAddress { username: name(SIGNED_IN), session: SessionId::from_u64(0) };
        let entered = self
            .registry
            .sign_in(address, None, String::new(), (None, None), Arc::new(()))
            .expect("nobody has the name");
        black_box(self.registry.contacts(&entered.who, contacts));
        black_box(self.registry.sign_out(&entered.who));
    }

    /// Has some list the one who comes and goes, and tells who.
    fn befriend(&mut self) -> HashSet<Username> {
        let lister = |number: usize| &self.all[number * STRIDE % SIGNED_IN];
        let listers: Vec<SignedIn> = (0..CONTACTS).map(lister).cloned().collect();
        for lister in &listers {
            self.registry.contacts(lister, HashSet::from([name(SIGNED_IN)]));
        }
        listers.into_iter().map(|lister| lister.address.username).collect()
    }

    fn two(&mut self) -> (SignedIn, SignedIn) {
        let mut one = || {
            self.next = (self.next + STRIDE) % SIGNED_IN;
            self.all[self.next].clone()
        };
        (one(), one())
    }
}

fn name(number: usize) -> Username {
    format!("user{number}").parse().expect("a username")
}

fn call() -> CallId {
    CallId::from_random_bytes([7; 16])
}
