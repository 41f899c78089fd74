//! Things by their numbers, which come nearly in order and leave from the front. A sorted ring: it takes no memory for what
//! comes and goes, as a tree does. One that comes far out of order costs a move of those behind it, a few hundred at most.

use std::collections::VecDeque;
use std::collections::vec_deque::Drain;

#[derive(Debug)]
pub(crate) struct Numbered<T>(VecDeque<(i64, T)>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Numbered<T> {
    /// Puts a thing in its place. Gives back the one that had its number.
    pub(crate) fn insert(&mut self, number: i64, thing: T) -> Option<T> {
        let place = self.place(number);
        if let Some((known, held)) = self.0.get_mut(place)
            && *known == number
        {
            return Some(std::mem::replace(held, thing));
        }
        self.0.insert(place, (number, thing));
        None
    }

    pub(crate) fn remove(&mut self, number: i64) -> Option<T> {
        let place = self.place(number);
        self.0.get(place).filter(|(known, _)| *known == number)?;
        self.0.remove(place).map(|(_, thing)| thing)
    }

    pub(crate) fn get(&self, number: i64) -> Option<&T> {
        self.0.get(self.place(number)).filter(|(known, _)| *known == number).map(|(_, thing)| thing)
    }

    pub(crate) fn contains(&self, number: i64) -> bool {
        self.get(number).is_some()
    }

    pub(crate) fn first(&self) -> Option<(i64, &T)> {
        self.0.front().map(pair)
    }

    pub(crate) fn last(&self) -> Option<(i64, &T)> {
        self.0.back().map(pair)
    }

    pub(crate) fn pop_first(&mut self) -> Option<(i64, T)> {
        self.0.pop_front()
    }

    /// Those before `end`, by their numbers.
    pub(crate) fn before(&self, end: i64) -> impl Iterator<Item = (i64, &T)> {
        self.0.range(..self.place(end)).map(pair)
    }

    /// The one with the number `from` and those after it, by their numbers.
    pub(crate) fn starting_at(&self, from: i64) -> impl Iterator<Item = (i64, &T)> {
        self.0.range(self.place(from)..).map(pair)
    }

    /// The same, to be changed.
    pub(crate) fn starting_at_mut(&mut self, from: i64) -> impl Iterator<Item = (i64, &mut T)> {
        let place = self.place(from);
        self.0.range_mut(place..).map(|(number, thing)| (*number, thing))
    }

    /// Takes those before `end` out.
    pub(crate) fn drain_before(&mut self, end: i64) -> Drain<'_, (i64, T)> {
        let place = self.place(end);
        self.0.drain(..place)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many come before `number`.
    fn place(&self, number: i64) -> usize {
        match self.0.back() {
            Some((newest, _)) if *newest < number => self.0.len(),
            _ => self.0.partition_point(|(known, _)| *known < number),
        }
    }
}

fn pair<T>((number, thing): &(i64, T)) -> (i64, &T) {
    (*number, thing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};
    use std::collections::BTreeMap;

    #[test]
    fn it_holds_what_a_tree_would() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut numbered, mut tree) = (Numbered::default(), BTreeMap::new());
        for step in 0..20_000_i64 {
            let number = step / 4 + rng.random_range(-20..20);
            match rng.random_range(0..8) {
                0 => assert_eq!(numbered.remove(number), tree.remove(&number)),
                1 => assert_eq!(numbered.pop_first(), tree.pop_first()),
                2 => {
                    let after = tree.split_off(&(number - 20));
                    let before = std::mem::replace(&mut tree, after);
                    assert!(numbered.drain_before(number - 20).eq(before));
                }
                _ => assert_eq!(numbered.insert(number, step), tree.insert(number, step)),
            }
            assert_eq!(numbered.get(number), tree.get(&number));
            assert_eq!(numbered.contains(number), tree.contains_key(&number));
            assert!(numbered.before(number).eq(tree.range(..number).map(|(number, thing)| (*number, thing))));
            assert!(numbered.starting_at(number).eq(tree.range(number..).map(|(number, thing)| (*number, thing))));
            assert!(
                numbered.starting_at_mut(number).eq(tree.range_mut(number..).map(|(number, thing)| (*number, thing)))
            );
            assert_eq!(numbered.first(), tree.first_key_value().map(|(number, thing)| (*number, thing)));
            assert_eq!(numbered.last(), tree.last_key_value().map(|(number, thing)| (*number, thing)));
            assert_eq!(numbered.len(), tree.len());
        }
        numbered.clear();
        assert_eq!(numbered.first(), None);
    }
}
