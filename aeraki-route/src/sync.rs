//! A lock that nobody can leave unusable.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; state is whole even where a thread died while it held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
