//! OffsetDelete, 0. A topic that a member subscribes to keeps its offsets.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::{Answer, Call, Serve};

impl Serve for OffsetDeleteRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<OffsetDeleteResponse> {
        if let Err(code) = call.coordinates_group(&self.group_id) {
            return Answer::Ready(self.refuse(code));
        }
        let now = call.state.now;
        let Some(group) = call.state.groups.get_mut(&self.group_id) else {
            return Answer::Ready(self.refuse(ErrorCode::GroupIdNotFound));
        };
        group.advance(now);
        let mut topics = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let subscribed = group.subscribes_to(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let partition_index = partition.partition_index;
                let exists = call.state.topics.partition(&topic.name, partition_index).is_some();
                let code = match (subscribed, exists) {
                    (true, _) => ErrorCode::GroupSubscribedToTopic,
                    (false, false) => ErrorCode::UnknownTopicOrPartition,
                    (false, true) => {
                        group.delete_committed(&topic.name, partition_index);
                        ErrorCode::None
                    }
                };
                partitions.push(OffsetDeleteResponsePartition { partition_index, error_code: code.code() });
            }
            topics.push(OffsetDeleteResponseTopic { name: topic.name.clone(), partitions });
        }
        Answer::Ready(OffsetDeleteResponse { topics, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> OffsetDeleteResponse {
        OffsetDeleteResponse { error_code: code.code(), ..Default::default() }
    }
}
