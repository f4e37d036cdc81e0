//! What a broker's answer to a batch means.

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::ApiKey;
use logmill_protocol::messages::produce::PartitionProduceResponse;

use super::track::Verdict;
use crate::client::producer::outcome::Stored;
use crate::error::Error;

/// Judges the answer for one partition, named by `subject` in errors.
pub(super) fn judge(answer: &PartitionProduceResponse, subject: &str) -> Verdict {
    let code = ErrorCode::from(answer.error_code);
    let error = || Error::Refused {
        api: ApiKey::Produce,
        code,
        subject: subject.to_owned(),
        message: answer.error_message.as_deref().map(str::to_owned),
    };
    match code {
        ErrorCode::None => Verdict::Stored(Stored {
            base_offset: answer.base_offset,
            append_time: answer.log_append_time_ms,
        }),
        // The broker has it since an earlier attempt, too long ago to know where.
        ErrorCode::DuplicateSequenceNumber => Verdict::Stored(Stored { base_offset: -1, append_time: -1 }),
        ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId => Verdict::OutOfSequence(error()),
        ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced | ErrorCode::InvalidProducerIdMapping => {
            Verdict::Fenced(error())
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => Verdict::TooLarge(error()),
        code if code.is_retriable() => Verdict::Again { error: error(), doubtful: may_be_stored(code) },
        code => Verdict::Refused { error: error(), doubtful: may_be_stored(code) },
    }
}

/// Whether a broker may answer so although the batch is in the log, or still comes to be: it appends
/// first and waits for the replicas then, and may lose the lead, or patience, while it waits.
fn may_be_stored(code: ErrorCode) -> bool {
    !matches!(
        code,
        ErrorCode::CorruptMessage
            | ErrorCode::InvalidTopicException
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::InvalidRequiredAcks
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::InvalidTimestamp
            | ErrorCode::UnsupportedVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::UnsupportedForMessageFormat
            | ErrorCode::PolicyViolation
            | ErrorCode::UnsupportedCompressionType
            | ErrorCode::InvalidRecord
            | ErrorCode::ThrottlingQuotaExceeded
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
    )
}

/// Judges a request that got no answer.
pub(super) fn unanswered(error: &Error) -> Verdict {
    let (error, doubtful) = (error.clone(), error.may_have_happened());
    // What cannot be sent at all (no common version, nothing to encode it in) will not be next time.
    match error {
        Error::Unsupported { .. } | Error::Encode { .. } | Error::TooOld { .. } => {
            Verdict::Refused { error, doubtful }
        }
        _ => Verdict::Again { error, doubtful },
    }
}

/// Whether the error says that another broker leads the partition, or may.
pub(super) fn is_about_leader(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::KafkaStorageError
            | ErrorCode::ReplicaNotAvailable
    )
}
