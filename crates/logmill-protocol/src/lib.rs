//! What logmill decides, without doing anything: Kafka's wire protocol, its record batches, and the
//! state machine of the work queue.
//!
//! Nothing here touches a socket, a clock, a thread, randomness or an async runtime: bytes and plain
//! values come in, bytes and plain values go out. A module uses only those before it:
//!
//! | module | holds |
//! |---|---|
//! | [`ids`] | the names of things: topics, partitions, offsets ranges, generations, nonces |
//! | [`error`] | why bytes could not be read or written, and Kafka's error codes |
//! | [`wire`] | primitive types, frames and headers of Kafka's protocol |
//! | [`records`] | record batches, format v2 |
//! | [`messages`] | every request and response, generated from Kafka's own definitions |
//! | [`work`] | work units and the transitions of the store |

pub mod error;
pub mod ids;
pub mod messages;
pub mod records;
pub mod wire;

pub mod work;
