//! Counters in Redis.

use redis::{
    Client, Pipeline, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::{Hit, Store, StoreError};

/// Counts in Redis, so that several replicas keep the limits together.
///
/// Counters have the keys of envoyproxy/ratelimit, `DOMAIN_KEY_VALUE_…_START` with the start of the window in seconds,
/// and as there each hit is an `INCRBY` and an `EXPIRE`; those of one question are sent as one pipeline. The expiry is
/// up to five minutes longer than the window, at random, so that Redis does not drop everything at once.
#[derive(Clone)]
pub struct RedisStore {
    connection: ConnectionManager,
}

impl RedisStore {
    /// Connects to the server at `url`, such as `redis://:password@127.0.0.1:6379/0`, and again whenever the connection
    /// is lost. Connecting may take a second and an answer half a second.
    ///
    /// # Errors
    ///
    /// Fails if the URL is not one, or if the server cannot be reached.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let client = Client::open(url).map_err(StoreError::new)?;
        // one more attempt; a server that is away must not hold its clients up
        let config = ConnectionManagerConfig::new().set_number_of_retries(1);
        let connection = ConnectionManager::new_with_config(client, config).await.map_err(StoreError::new)?;
        Ok(Self { connection })
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    async fn add(&self, hits: &[Hit<'_>]) -> Result<Vec<u64>, StoreError> {
        let mut pipeline = Pipeline::with_capacity(2 * hits.len());
        for hit in hits {
            let key = key(hit);
            pipeline.cmd("INCRBY").arg(&key).arg(hit.addend);
            pipeline.cmd("EXPIRE").arg(&key).arg(hit.window.unit().seconds() + fastrand::u64(..MAX_JITTER)).ignore();
        }
        let counts: Result<Vec<u64>, RedisError> = pipeline.query_async(&mut self.connection.clone()).await;
        counts.map_err(StoreError::new)
    }
}

fn key(hit: &Hit<'_>) -> String {
    let mut key = format!("{}_", hit.domain);
    for (name, value) in &hit.entries {
        key.extend([name, "_", value, "_"]);
    }
    key + &hit.window.start().to_string()
}

/// Seconds by which the expiry of a counter is longer than its window, at most.
const MAX_JITTER: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratelimit::{Unit, Window};

    #[test]
    fn keys_are_those_of_the_software_of_envoy() {
        let entries = vec![("message_type", "marketing"), ("to_number", "2061111111")];
        let hit = Hit::new("messaging", entries, Window::at(Unit::Day, 86_400 + 7));
        assert_eq!(key(&hit), "messaging_message_type_marketing_to_number_2061111111_86400");
    }
}
