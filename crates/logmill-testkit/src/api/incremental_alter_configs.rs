//! IncrementalAlterConfigs, 0–1, of topics. All of a topic's changes are made, or none.
//!
//! Left out: settings of brokers and loggers, which cannot be changed here.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};
use crate::state::configs::{self, Kind, TOPIC_RESOURCE};
use crate::state::owned;
use crate::state::topics::Refusal;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Serve for IncrementalAlterConfigsRequest {
    const VERSIONS: RangeInclusive<i16> = 0..=1;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<IncrementalAlterConfigsResponse> {
        let responses = self.resources.iter().map(|resource| {
            let altered = alter(call, resource, self.validate_only);
            response(resource, altered.err())
        });
        Answer::Ready(IncrementalAlterConfigsResponse {
            responses: responses.collect(),
            ..Default::default()
        })
    }

    fn refuse(&self, code: ErrorCode) -> IncrementalAlterConfigsResponse {
        let refused = |resource| response(resource, Some((code, code.to_string())));
        let responses = self.resources.iter().map(refused).collect();
        IncrementalAlterConfigsResponse { responses, ..Default::default() }
    }
}

fn alter(call: &mut Call<'_>, resource: &AlterConfigsResource, only_check: bool) -> Result<(), Refusal> {
    if resource.resource_type != TOPIC_RESOURCE {
        let text = "The embedded broker's own settings cannot be changed.".to_owned();
        return Err((ErrorCode::InvalidRequest, text));
    }
    let topic = call.state.topics.get_mut(&resource.resource_name).ok_or_else(|| {
        let text = format!("There is no topic '{}'.", resource.resource_name);
        (ErrorCode::UnknownTopicOrPartition, text)
    })?;
    let mut changed = topic.configs.clone();
    for config in &resource.configs {
        change(&mut changed, config)?;
    }
    if !only_check {
        topic.configs = changed;
    }
    Ok(())
}

fn change(configs: &mut BTreeMap<Str, Str>, config: &AlterableConfig) -> Result<(), Refusal> {
    let name = &config.name;
    if config.config_operation == DELETE {
        configs.remove(name);
        return Ok(());
    }
    let Some(value) = &config.value else {
        return Err((ErrorCode::InvalidRequest, format!("No value is given for '{name}'.")));
    };
    let setting = configs::TOPIC.iter().find(|setting| *name == *setting.name);
    let is_list = setting.is_some_and(|setting| setting.kind == Kind::List);
    let now = configs.get(name).map(Str::as_str).or(setting.map(|setting| setting.default)).unwrap_or("");
    let listed =
        |text: &str| text.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let value = match config.config_operation {
        SET => owned(value),
        APPEND if is_list => {
            let mut all = listed(now);
            all.extend(listed(value).into_iter().filter(|item| !listed(now).contains(item)));
            all.join(",").into()
        }
        SUBTRACT if is_list => {
            let gone = listed(value);
            listed(now).into_iter().filter(|item| !gone.contains(item)).collect::<Vec<_>>().join(",").into()
        }
        other => {
            let text = format!("Operation {other} is not possible on '{name}'.");
            return Err((ErrorCode::InvalidConfig, text));
        }
    };
    configs::check_topic(name, &value)?;
    configs.insert(owned(name), value);
    Ok(())
}

fn response(resource: &AlterConfigsResource, refusal: Option<Refusal>) -> AlterConfigsResourceResponse {
    let (code, text) = refusal.map_or((ErrorCode::None, None), |(code, text)| (code, Some(text.into())));
    AlterConfigsResourceResponse {
        error_code: code.code(),
        error_message: text,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
    }
}
