//! ListGroups, 0–5: the groups that the asked broker coordinates. All are of the type "classic".

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};

impl Serve for ListGroupsRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<ListGroupsResponse> {
        let among = |filter: &[Str], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let (now, asked) = (call.state.now, call.origin.broker);
        let brokers = &call.state.brokers;
        let mut groups = Vec::new();
        for (id, group) in &mut call.state.groups {
            group.advance(now);
            let state = group.phase().name();
            if brokers.coordinator(id) == Some(asked)
                && among(&self.states_filter, state)
                && among(&self.types_filter, "classic")
            {
                groups.push(ListedGroup {
                    group_id: id.clone(),
                    protocol_type: group.protocol_type().cloned().unwrap_or_default(),
                    group_state: state.into(),
                    group_type: "classic".into(),
                });
            }
        }
        Answer::Ready(ListGroupsResponse { groups, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> ListGroupsResponse {
        ListGroupsResponse { error_code: code.code(), ..Default::default() }
    }
}
