//! DeleteTopics, 1–6, by name or by id. A topic made again under its name has another id.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::ids::Uuid;
use logmill_protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::{Answer, Call, Serve};

impl Serve for DeleteTopicsRequest {
    const VERSIONS: RangeInclusive<i16> = 1..=6;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<DeleteTopicsResponse> {
        let responses = asked(self).into_iter().map(|topic| {
            let name = match &topic.name {
                Some(name) => Ok(name.clone()),
                None => call.state.topics.resolve(true, topic.topic_id, &Default::default()),
            };
            let id = |name: &str| call.state.topics.get(name).map(|topic| topic.id);
            let topic_id = name.as_ref().ok().and_then(|name| id(name)).unwrap_or(topic.topic_id);
            match name {
                Ok(name) if call.state.delete_topic(&name) => {
                    DeletableTopicResult { name: Some(name), topic_id, ..Default::default() }
                }
                Ok(_) => refused(topic, ErrorCode::UnknownTopicOrPartition),
                Err(code) => refused(topic, code),
            }
        });
        Answer::Ready(DeleteTopicsResponse { responses: responses.collect(), ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> DeleteTopicsResponse {
        let responses = asked(self).into_iter().map(|topic| refused(topic, code)).collect();
        DeleteTopicsResponse { responses, ..Default::default() }
    }
}

/// What versions name in two ways, in one.
fn asked(request: &DeleteTopicsRequest) -> Vec<DeleteTopicState> {
    let named = request.topic_names.iter();
    let named = named.map(|name| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO });
    request.topics.iter().cloned().chain(named).collect()
}

fn refused(topic: DeleteTopicState, code: ErrorCode) -> DeletableTopicResult {
    DeletableTopicResult {
        name: topic.name,
        topic_id: topic.topic_id,
        error_code: code.code(),
        error_message: Some(code.name().into()),
    }
}
