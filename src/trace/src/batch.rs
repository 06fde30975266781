//! [`ArcBatch`]: batches that may be read on any thread.
//!
//! Differential shares batches by `Rc`. Sharing them by `Arc` instead makes them `Send + Sync`, so that a peek walks a
//! published list of batches while the worker that made them goes on working.

use std::ops::Deref;
use std::sync::Arc;

use differential_dataflow::trace::cursor::Navigable;
use differential_dataflow::trace::{Batch, BatchReader, Builder, Cursor, Description, Merger};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

/// An immutable batch of updates, shared between threads.
pub struct ArcBatch<B>(Arc<B>);

impl<B> ArcBatch<B> {
    pub fn new(batch: B) -> ArcBatch<B> {
        ArcBatch(Arc::new(batch))
    }

    /// True if both are the same batch, not merely equal ones.
    pub fn is_same(&self, other: &ArcBatch<B>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<B> Clone for ArcBatch<B> {
    fn clone(&self) -> ArcBatch<B> {
        ArcBatch(Arc::clone(&self.0))
    }
}

impl<B> Deref for ArcBatch<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.0
    }
}

impl<B: BatchReader> BatchReader for ArcBatch<B> {
    type Time = B::Time;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn description(&self) -> &Description<B::Time> {
        self.0.description()
    }
}

impl<B: BatchReader + Navigable> Navigable for ArcBatch<B> {
    type Cursor = ArcBatchCursor<B::Cursor>;

    fn cursor(&self) -> Self::Cursor {
        ArcBatchCursor(self.0.cursor())
    }
}

impl<B: Batch> Batch for ArcBatch<B> {
    type Merger = ArcMerger<B>;

    fn empty(lower: Antichain<B::Time>, upper: Antichain<B::Time>) -> Self {
        ArcBatch::new(B::empty(lower, upper))
    }
}

/// Makes [`ArcBatch`]es with the builder of the batches inside.
pub struct ArcBuilder<Bu>(Bu);

impl<Bu: Builder> Builder for ArcBuilder<Bu> {
    type Input = Bu::Input;
    type Time = Bu::Time;
    type Output = ArcBatch<Bu::Output>;

    fn with_capacity(keys: usize, vals: usize, upds: usize) -> Self {
        ArcBuilder(Bu::with_capacity(keys, vals, upds))
    }

    fn push(&mut self, chunk: &mut Self::Input) {
        self.0.push(chunk);
    }

    fn done(self, description: Description<Self::Time>) -> Self::Output {
        ArcBatch::new(self.0.done(description))
    }

    fn seal(chain: &mut Vec<Self::Input>, description: Description<Self::Time>) -> Self::Output {
        ArcBatch::new(Bu::seal(chain, description))
    }
}

/// Merges [`ArcBatch`]es with the merger of the batches inside.
pub struct ArcMerger<B: Batch>(B::Merger);

impl<B: Batch> Merger<ArcBatch<B>> for ArcMerger<B> {
    fn new(left: &ArcBatch<B>, right: &ArcBatch<B>, compaction: AntichainRef<'_, B::Time>) -> Self {
        ArcMerger(B::begin_merge(left, right, compaction))
    }

    fn work(&mut self, left: &ArcBatch<B>, right: &ArcBatch<B>, fuel: &mut isize) {
        self.0.work(left, right, fuel);
    }

    fn done(self) -> ArcBatch<B> {
        ArcBatch::new(self.0.done())
    }
}

/// Navigates an [`ArcBatch`].
pub struct ArcBatchCursor<C>(C);

impl<C: Cursor> Cursor for ArcBatchCursor<C> {
    type Storage = ArcBatch<C::Storage>;

    type Key<'a> = C::Key<'a>;
    type ValOwn = C::ValOwn;
    type Val<'a> = C::Val<'a>;
    type Time = C::Time;
    type TimeGat<'a> = C::TimeGat<'a>;
    type Diff = C::Diff;
    type DiffGat<'a> = C::DiffGat<'a>;
    type KeyContainer = C::KeyContainer;
    type ValContainer = C::ValContainer;
    type TimeContainer = C::TimeContainer;
    type DiffContainer = C::DiffContainer;

    #[inline]
    fn key_valid(&self, storage: &Self::Storage) -> bool {
        self.0.key_valid(storage)
    }

    #[inline]
    fn val_valid(&self, storage: &Self::Storage) -> bool {
        self.0.val_valid(storage)
    }

    #[inline]
    fn key<'a>(&self, storage: &'a Self::Storage) -> Self::Key<'a> {
        self.0.key(storage)
    }

    #[inline]
    fn val<'a>(&self, storage: &'a Self::Storage) -> Self::Val<'a> {
        self.0.val(storage)
    }

    #[inline]
    fn get_key<'a>(&self, storage: &'a Self::Storage) -> Option<Self::Key<'a>> {
        self.0.get_key(storage)
    }

    #[inline]
    fn get_val<'a>(&self, storage: &'a Self::Storage) -> Option<Self::Val<'a>> {
        self.0.get_val(storage)
    }

    #[inline]
    fn map_times<L: FnMut(Self::TimeGat<'_>, Self::DiffGat<'_>)>(&mut self, storage: &Self::Storage, logic: L) {
        self.0.map_times(storage, logic);
    }

    #[inline]
    fn step_key(&mut self, storage: &Self::Storage) {
        self.0.step_key(storage);
    }

    #[inline]
    fn seek_key(&mut self, storage: &Self::Storage, key: Self::Key<'_>) {
        self.0.seek_key(storage, key);
    }

    #[inline]
    fn step_val(&mut self, storage: &Self::Storage) {
        self.0.step_val(storage);
    }

    #[inline]
    fn seek_val(&mut self, storage: &Self::Storage, val: Self::Val<'_>) {
        self.0.seek_val(storage, val);
    }

    #[inline]
    fn rewind_keys(&mut self, storage: &Self::Storage) {
        self.0.rewind_keys(storage);
    }

    #[inline]
    fn rewind_vals(&mut self, storage: &Self::Storage) {
        self.0.rewind_vals(storage);
    }
}
