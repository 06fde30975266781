//! Arranging: streams of updates to arrangements, distributed by the hash of the key.

use std::hash::{Hash, Hasher};

use differential_dataflow::lattice::Lattice;
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::{ExchangeData, VecCollection};
use timely::dataflow::channels::pact::Exchange;
use timely::progress::Timestamp;

use crate::spine::{KeyBatcher, KeyBuilder, KeyChunker, KeySpine, ValBatcher, ValBuilder, ValChunker, ValSpine};
use differential_dataflow::difference::Semigroup;

/// An arrangement of values by key.
pub type ArrangedVals<'scope, K, V, T, R> = Arranged<'scope, TraceAgent<ValSpine<K, V, T, R>>>;
/// An arrangement of keys alone.
pub type ArrangedKeys<'scope, K, T, R> = Arranged<'scope, TraceAgent<KeySpine<K, T, R>>>;

/// Where the updates of a key live: on worker `owner_hash(key) % workers`, for all workers of a replica.
///
/// FNV-1a over the key's bytes, then mixed: timely takes the lowest bits, which FNV alone leaves to the parity of the key.
pub fn owner_hash<K: Hash + ?Sized>(key: &K) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    key.hash(&mut hasher);
    let mut hash = hasher.finish();
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash
}

/// The hash must be the same in all processes of a replica, whatever they were compiled with, so it is spelled out here.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Arranges values by key.
pub fn arrange_vals<'scope, K, V, T, R>(
    collection: VecCollection<'scope, T, (K, V), R>,
    name: &str,
) -> ArrangedVals<'scope, K, V, T, R>
where
    K: ExchangeData + Hash,
    V: ExchangeData,
    T: Timestamp + Lattice,
    R: ExchangeData + Semigroup,
{
    let exchange = Exchange::new(|update: &((K, V), T, R)| owner_hash(&update.0.0));
    arrange_core::<_, _, ValChunker<K, V, T, R>, ValBatcher<K, V, T, R>, ValBuilder<K, V, T, R>, _>(
        collection.inner,
        exchange,
        name,
    )
}

/// Arranges keys alone.
pub fn arrange_keys<'scope, K, T, R>(
    collection: VecCollection<'scope, T, K, R>,
    name: &str,
) -> ArrangedKeys<'scope, K, T, R>
where
    K: ExchangeData + Hash,
    T: Timestamp + Lattice,
    R: ExchangeData + Semigroup,
{
    let exchange = Exchange::new(|update: &((K, ()), T, R)| owner_hash(&update.0.0));
    arrange_core::<_, _, KeyChunker<K, T, R>, KeyBatcher<K, T, R>, KeyBuilder<K, T, R>, _>(
        collection.map(|key| (key, ())).inner,
        exchange,
        name,
    )
}

/// Adds up equal updates: what comes out has one update for each key and time, and none that is zero.
pub fn consolidate<'scope, K, T, R>(
    collection: VecCollection<'scope, T, K, R>,
    name: &str,
) -> VecCollection<'scope, T, K, R>
where
    K: ExchangeData + Hash,
    T: Timestamp + Lattice,
    R: ExchangeData + Semigroup,
{
    arrange_keys(collection, name).as_collection(|key, ()| key.clone())
}
