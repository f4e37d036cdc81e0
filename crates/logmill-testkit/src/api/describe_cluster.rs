//! DescribeCluster, 0–2.
//!
//! Left out: authorised operations, and a controller's endpoint of its own.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::{Answer, Call, Serve};

/// `EndpointType` of brokers.
const BROKERS: i8 = 1;

impl Serve for DescribeClusterRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=2;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<DescribeClusterResponse> {
        if self.endpoint_type != BROKERS {
            return Answer::Ready(self.refuse(ErrorCode::UnsupportedEndpointType));
        }
        let brokers = &call.state.brokers;
        let shown = brokers.ids().filter(|&id| brokers.is_up(id) || self.include_fenced_brokers);
        let entry = |broker_id| {
            let address = brokers.address(broker_id, call.origin.entry)?;
            Some(DescribeClusterBroker {
                broker_id,
                host: address.host.clone(),
                port: address.port.into(),
                rack: None,
                is_fenced: !brokers.is_up(broker_id),
            })
        };
        Answer::Ready(DescribeClusterResponse {
            cluster_id: call.state.cluster_id.clone(),
            controller_id: brokers.controller(),
            brokers: shown.filter_map(entry).collect(),
            ..Default::default()
        })
    }

    fn refuse(&self, code: ErrorCode) -> DescribeClusterResponse {
        let error_message = Some(code.name().into());
        DescribeClusterResponse { error_code: code.code(), error_message, ..Default::default() }
    }
}
