//! Who is at the door: connections that have not signed in yet, from the first byte to the sign-in. There are thousands
//! of places and each takes its client seconds at most; whoever holds many of them and does not come in makes room for
//! those who came later, so that nobody is kept out by connections that only stand there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio::task::AbortHandle;

use crate::limits::Network;

#[derive(Debug)]
pub(crate) struct Gate {
    /// In the order of their coming.
    waiting: BTreeMap<u64, Waiting>,
    by_network: HashMap<Network, BTreeSet<u64>>,
    most: usize,
    most_of_one: usize,
}

#[derive(Debug)]
struct Waiting {
    network: Option<Network>,
    task: Option<AbortHandle>,
}

impl Gate {
    /// At most `most` wait, and `most_of_one` from one network; from one site as many as from some networks.
    pub(crate) fn new(most: usize, most_of_one: usize) -> Self {
        Self { waiting: BTreeMap::new(), by_network: HashMap::new(), most: most.max(1), most_of_one }
    }

    /// Connection `number` came. Returned is how many were sent away for it.
    pub(crate) fn enter(&mut self, number: u64) -> usize {
        self.waiting.insert(number, Waiting { network: None, task: None });
        let mut sent_away = 0;
        while self.waiting.len() > self.most && self.send_away_oldest() {
            sent_away += 1;
        }
        sent_away
    }

    /// The task of a connection; ended when it must make room.
    pub(crate) fn set_task(&mut self, number: u64, task: AbortHandle) {
        if let Some(waiting) = self.waiting.get_mut(&number) {
            waiting.task = Some(task);
        }
    }

    /// Where a connection is from. Returned is how many were sent away for it.
    pub(crate) fn set_network(&mut self, number: u64, network: Network) -> usize {
        let Some(waiting) = self.waiting.get_mut(&number) else { return 0 };
        waiting.network = Some(network);
        let mut sent_away = 0;
        for (network, many) in network.with_site() {
            let numbers = self.by_network.entry(network).or_default();
            numbers.insert(number);
            let oldest = numbers.first().copied().filter(|_| numbers.len() > self.most_of_one.saturating_mul(many));
            sent_away += usize::from(oldest.is_some_and(|oldest| self.send_away(oldest)));
        }
        sent_away
    }

    /// A connection signed in, or ended.
    pub(crate) fn leave(&mut self, number: u64) -> Option<AbortHandle> {
        let waiting = self.waiting.remove(&number)?;
        for (network, _) in waiting.network.into_iter().flat_map(Network::with_site) {
            if let Some(numbers) = self.by_network.get_mut(&network) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_network.remove(&network);
                }
            }
        }
        waiting.task
    }

    /// Makes room for one more connection, where the server is full. Whether it could.
    pub(crate) fn send_away_oldest(&mut self) -> bool {
        let oldest = self.waiting.first_key_value().map(|(number, _)| *number);
        oldest.is_some_and(|oldest| self.send_away(oldest))
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn send_away(&mut self, number: u64) -> bool {
        let task = self.leave(number);
        if let Some(task) = &task {
            task.abort();
        }
        task.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn network(last: u8) -> Network {
        IpAddr::from([192, 0, 2, last]).into()
    }

    async fn aborted(tasks: Vec<(u64, tokio::task::JoinHandle<()>)>) -> Vec<u64> {
        let mut aborted = Vec::new();
        for (number, task) in tasks {
            if !task.is_finished() {
                // Those that were not sent away wait for ever.
                tokio::task::yield_now().await;
            }
            if task.is_finished() {
                aborted.push(number);
            }
        }
        aborted
    }

    fn come(gate: &mut Gate, number: u64, from: u8) -> (u64, tokio::task::JoinHandle<()>) {
        gate.enter(number);
        let task = tokio::spawn(std::future::pending());
        gate.set_task(number, task.abort_handle());
        gate.set_network(number, network(from));
        (number, task)
    }

    #[tokio::test]
    async fn the_oldest_of_one_network_makes_room_for_its_next() {
        let mut gate = Gate::new(100, 2);
        let tasks = vec![come(&mut gate, 1, 1), come(&mut gate, 2, 2), come(&mut gate, 3, 1), come(&mut gate, 4, 1)];
        assert_eq!(aborted(tasks).await, [1]);
        assert_eq!(gate.len(), 3);
        gate.leave(3);
        gate.leave(3);
        let tasks = vec![come(&mut gate, 5, 1)];
        assert!(aborted(tasks).await.is_empty(), "one that signed in counts no more");
    }

    #[tokio::test]
    async fn the_oldest_of_one_site_makes_room_however_many_networks_it_has() {
        let mut gate = Gate::new(1_000, 2);
        let mut tasks = Vec::new();
        for number in 0..40_u16 {
            gate.enter(number.into());
            let task = tokio::spawn(std::future::pending::<()>());
            gate.set_task(number.into(), task.abort_handle());
            gate.set_network(number.into(), IpAddr::from([0x2001, 0xDB8, 7, number, 0, 0, 0, 1]).into());
            tasks.push((number.into(), task));
        }
        // Sixteen times two may be there.
        assert_eq!(aborted(tasks).await, (0..8).collect::<Vec<u64>>());
        for number in 0..40 {
            gate.leave(number);
        }
        assert!(gate.by_network.is_empty());
    }

    #[tokio::test]
    async fn the_oldest_of_all_makes_room_when_there_are_too_many() {
        let mut gate = Gate::new(3, 100);
        let tasks = (1..=5).map(|number| come(&mut gate, number, u8::try_from(number).unwrap())).collect();
        assert_eq!(aborted(tasks).await, [1, 2]);
        for number in 1..=5 {
            gate.leave(number);
        }
        assert!(!gate.send_away_oldest());
        assert!(gate.waiting.is_empty() && gate.by_network.is_empty());
    }
}
