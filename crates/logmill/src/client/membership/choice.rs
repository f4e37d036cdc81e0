//! Which of Kafka's two group protocols a member speaks.

use std::time::Duration;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use logmill_protocol::wire::Str;
use tracing::debug;

use super::driver::Driver;
use crate::error::{Error, Result};

/// The first version in which members draw their own ids; the one before it was a preview (Kafka 3.7 to 3.9).
const FIRST: i16 = 1;

/// How the ids begin that members draw.
const MEMBER: &str = "logmill-";

/// The id of a member: nothing else that it says of itself reaches who describes a group of the newer protocol.
fn member_id(name: &str, number: u64) -> Str {
    format!("{MEMBER}{name}-{number:016x}").into()
}

/// The name of the member that drew this id; none if it is no node's.
pub(crate) fn node_of(member_id: &str) -> Option<&str> {
    member_id.strip_prefix(MEMBER)?.rsplit_once('-').map(|(name, _)| name)
}

/// Which group protocol a member speaks. Members of both can be in one consumer group on Kafka 4.0 and later, so a
/// group moves from one to the other as its members restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// The newer one (KIP-848) where the broker has it and takes silent members for dead no later than this member
    /// asks for; else the classic one.
    #[default]
    Auto,
    /// The classic one: members share the partitions out among themselves.
    Classic,
    /// The newer one: the broker shares them out, and has the session timeout.
    Consumer,
}

impl GroupProtocol {
    /// By the name that `group.protocol` has.
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "classic" => Self::Classic,
            "consumer" => Self::Consumer,
            _ => Self::Auto,
        }
    }
}

impl Driver {
    /// Decides how to join, each time that this is no member.
    pub(super) async fn choose(&mut self) -> Result<()> {
        let session = match self.options.protocol {
            GroupProtocol::Classic => None,
            GroupProtocol::Auto if self.refused => None,
            GroupProtocol::Consumer => Some(self.brokers_session().await?),
            GroupProtocol::Auto => match self.brokers_session().await {
                Ok(session) if session <= self.options.session_timeout => Some(session),
                Ok(session) => {
                    debug!(
                        group = self.group,
                        ?session,
                        "the classic protocol: the broker's session is too long"
                    );
                    None
                }
                Err(error) if error.is_retriable() => return Err(error),
                Err(error) => {
                    debug!(group = self.group, %error, "the classic protocol");
                    None
                }
            },
        };
        // Drawn once: under the same id a member comes back in its own place. Classic ids are the broker's to give.
        if session.is_some() && !self.newer {
            self.member_id = member_id(&self.options.name, self.client.chance().number());
        } else if session.is_none() && self.newer {
            self.member_id = Str::default();
        }
        self.newer = session.is_some();
        self.session = session.unwrap_or(self.options.session_timeout);
        Ok(())
    }

    /// How long a member that speaks the newer protocol may be silent. No answer to such a member says it.
    async fn brokers_session(&self) -> Result<Duration> {
        let version = self.coordinator().await?.version::<ConsumerGroupHeartbeatRequest>()?;
        let settings = self.client.admin().group_settings(&self.group).await?;
        let session = settings.get("consumer.session.timeout.ms").and_then(|text| text.parse().ok());
        session.filter(|_| version >= FIRST).map(Duration::from_millis).ok_or_else(|| {
            let subject = format!("consumer group {:?}", self.group);
            Error::refused(ApiKey::ConsumerGroupHeartbeat, ErrorCode::UnsupportedVersion, subject)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_who_drew_it() {
        assert_eq!(node_of(&member_id("box-17", u64::MAX)), Some("box-17"));
        assert_eq!(node_of(&member_id("", 1)), Some(""));
        assert_eq!(node_of("consumer-orders-1-4f1d"), None, "another client's");
    }
}
