//! A work queue on the Kafka you already have, and a fast native Kafka client under it.

pub mod store;
