//! DescribeConfigs, 1–4, of topics and brokers.
//!
//! Left out: synonyms, documentation, loggers, and all settings of brokers but a few.

use std::ops::RangeInclusive;

use logmill_protocol::error::ErrorCode;
use logmill_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult,
};
use logmill_protocol::wire::Str;

use super::{Answer, Call, Serve};
use crate::state::configs::{self, BROKER_RESOURCE, Kind, TOPIC_RESOURCE};
use crate::state::topics::Refusal;

/// The numbers that tell where a value comes from.
const FROM_TOPIC: i8 = 1;
const FROM_STATIC_BROKER: i8 = 4;
const FROM_DEFAULT: i8 = 5;

impl Serve for DescribeConfigsRequest {
    const VERSIONS: RangeInclusive<i16> = 1..=4;
    type Memo = ();

    fn serve(&self, call: &mut Call<'_>, (): &mut ()) -> Answer<DescribeConfigsResponse> {
        let one = |asked: &DescribeConfigsResource| match describe(call, asked) {
            Ok(configs) => DescribeConfigsResult { configs, ..result(asked) },
            Err(refusal) => refused(asked, refusal),
        };
        let results = self.resources.iter().map(one).collect();
        Answer::Ready(DescribeConfigsResponse { results, ..Default::default() })
    }

    fn refuse(&self, code: ErrorCode) -> DescribeConfigsResponse {
        let results = self.resources.iter().map(|asked| refused(asked, (code, code.to_string())));
        DescribeConfigsResponse { results: results.collect(), ..Default::default() }
    }
}

fn describe(
    call: &Call<'_>,
    asked: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let wanted = |name: &str| {
        asked
            .configuration_keys
            .as_ref()
            .is_none_or(|keys| keys.is_empty() || keys.iter().any(|k| *k == *name))
    };
    match asked.resource_type {
        TOPIC_RESOURCE => {
            let topic = call.state.topics.get(&asked.resource_name).ok_or_else(|| {
                let text = format!("There is no topic '{}'.", asked.resource_name);
                (ErrorCode::UnknownTopicOrPartition, text)
            })?;
            let settings = configs::TOPIC.iter().filter(|setting| wanted(setting.name));
            let show = |setting: &configs::Setting| match topic.configs.get(setting.name) {
                Some(value) => shown(setting.name, value.clone(), setting.kind, FROM_TOPIC),
                None => shown(setting.name, setting.default.into(), setting.kind, FROM_DEFAULT),
            };
            Ok(settings.map(show).collect())
        }
        BROKER_RESOURCE => {
            let settings = configs::broker(&call.state.options).into_iter();
            let settings = settings.filter(|(name, _, _)| wanted(name));
            Ok(settings
                .map(|(name, value, kind)| shown(name, value.into(), kind, FROM_STATIC_BROKER))
                .collect())
        }
        other => {
            let text =
                format!("The embedded broker knows settings of topics and brokers, not of type {other}.");
            Err((ErrorCode::InvalidRequest, text))
        }
    }
}

fn shown(name: &'static str, value: Str, kind: Kind, source: i8) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name: Str::from_static(name),
        value: Some(value),
        read_only: source == FROM_STATIC_BROKER,
        config_source: source,
        config_type: kind.code(),
        ..Default::default()
    }
}

fn result(asked: &DescribeConfigsResource) -> DescribeConfigsResult {
    DescribeConfigsResult {
        resource_type: asked.resource_type,
        resource_name: asked.resource_name.clone(),
        error_message: None,
        ..Default::default()
    }
}

fn refused(asked: &DescribeConfigsResource, (code, text): Refusal) -> DescribeConfigsResult {
    DescribeConfigsResult { error_code: code.code(), error_message: Some(text.into()), ..result(asked) }
}
