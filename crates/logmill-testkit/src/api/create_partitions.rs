//! CreatePartitions, 0–3. Any broker serves it, and it is done when it is answered.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

use super::{Answer, Call, Serve};
use crate::state::topics::Refusal;

impl Serve for CreatePartitionsRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<CreatePartitionsResponse> {
        let grow = |topic: &CreatePartitionsTopic| {
            let assignment = topic.assignments.iter().flatten().map(|a| a.broker_ids.clone()).collect();
            let grown = call.state.grow_topic(&topic.name, topic.count, assignment, self.validate_only);
            result(topic, grown.err())
        };
        let results = self.topics.iter().map(grow).collect();
        Answer::Ready(CreatePartitionsResponse { results, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> CreatePartitionsResponse {
        let refused = |topic| result(topic, Some((code, code.to_string())));
        CreatePartitionsResponse { results: self.topics.iter().map(refused).collect(), ..Default::default() }
    }
}

fn result(topic: &CreatePartitionsTopic, refusal: Option<Refusal>) -> CreatePartitionsTopicResult {
    let (code, text) = refusal.map_or((ErrorCode::None, None), |(code, text)| (code, Some(text.into())));
    let name = topic.name.clone();
    CreatePartitionsTopicResult { name, error_code: code.code(), error_message: text }
}
