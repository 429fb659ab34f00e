//! A cache that forgets what was not used for longest and is in use nowhere.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Shared values by key.
pub(super) struct Recent<K, V> {
    /// The number of values from which on some are let go.
    most: usize,
    /// Each with the time of its last use.
    values: HashMap<K, (Arc<V>, u64)>,
    clock: u64,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// A cache of about `most` values, and of those that are in use beside it.
    pub fn new(most: usize) -> Recent<K, V> {
        Recent { most, values: HashMap::new(), clock: 0 }
    }

    pub fn contains(&self, key: K) -> bool {
        self.values.contains_key(&key)
    }

    pub fn get(&mut self, key: K) -> Option<Arc<V>> {
        self.clock += 1;
        let (value, used) = self.values.get_mut(&key)?;
        *used = self.clock;
        Some(Arc::clone(value))
    }

    /// Keeps a value, unless there is one of this key; the one that is kept, and whether it is new.
    pub fn insert(&mut self, key: K, value: Arc<V>) -> (Arc<V>, bool) {
        if let Some(there) = self.get(key) {
            return (there, false);
        }
        if self.values.len() >= self.most {
            self.forget();
        }
        self.values.insert(key, (Arc::clone(&value), self.clock));
        (value, true)
    }

    /// Takes out all values that are in use nowhere else.
    pub fn idle(&mut self) -> Vec<Arc<V>> {
        let in_use = |value: &Arc<V>| Arc::strong_count(value) > 1;
        let (kept, idle): (HashMap<_, _>, HashMap<_, _>) =
            std::mem::take(&mut self.values).into_iter().partition(|(_, (value, _))| in_use(value));
        self.values = kept;
        idle.into_values().map(|(value, _)| value).collect()
    }

    /// Lets the older half of the values go, so far as they are in use nowhere else.
    fn forget(&mut self) {
        let mut times: Vec<u64> = self.values.values().map(|(_, used)| *used).collect();
        let middle = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(middle);
        self.values.retain(|_, (value, used)| *used >= median || Arc::strong_count(value) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_nobody_uses_go() {
        let mut cache = Recent::new(8);
        let held = cache.insert(0, Arc::new(0)).0;
        for key in 1..8 {
            assert!(cache.insert(key, Arc::new(key)).1);
        }
        // The second in age is used again, and the first is in use.
        assert!(cache.get(1).is_some());
        assert_eq!(cache.insert(8, Arc::new(8)).0, Arc::new(8));
        let there: Vec<i32> = (0..9).filter(|key| cache.contains(*key)).collect();
        assert_eq!(there, [0, 1, 5, 6, 7, 8]);
        assert_eq!((*held, cache.insert(5, Arc::new(50)).0, cache.insert(3, Arc::new(30)).1), (0, Arc::new(5), true));
    }

    #[test]
    fn what_is_in_use_stays_whatever_the_limit() {
        let mut cache = Recent::new(2);
        let held: Vec<Arc<i32>> = (0..20).map(|key| cache.insert(key, Arc::new(key)).0).collect();
        assert!((0..20).all(|key| cache.contains(key)) && held.len() == 20);
        assert!(cache.idle().is_empty());
        drop(held);
        assert_eq!((cache.idle().len(), cache.contains(0)), (20, false));
    }
}
