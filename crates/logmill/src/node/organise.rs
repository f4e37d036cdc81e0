//! Shows the group that this node lives, and organises if the group needs it to.

use std::sync::Arc;
use std::time::Duration;

use logmill_protocol::work::{Announce, Announced};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::about::About;
use super::settings::Organise;
use super::state::NodeState;
use crate::client::Client;
use crate::client::membership::{GroupProtocol, Membership, MembershipOptions};
use crate::organiser::Organiser;

/// How many nodes organise when the store is shared: one does the work, and losing two stops nothing.
const ORGANISERS: u32 = 3;

/// How long a node that leaves tries to say so.
const DEPART: Duration = Duration::from_secs(2);

/// Announces the node and, once it is to, organises, until `stop` is cancelled.
pub(crate) async fn run(client: Client, state: Arc<NodeState>, private_store: bool, stop: CancellationToken) {
    let (begin, begun) = oneshot::channel();
    let about = About::new(&state.settings, private_store);
    let said = about.json();
    let organising = async {
        if begun.await.is_ok() {
            info!(node = state.settings.node, group = state.settings.group, "organising");
            let membership = join(&client, &state, about);
            if private_store {
                state.member.get_or_init(|| membership.alive());
            }
            let organiser = Organiser::new(client.clone(), membership, state.clone(), private_store);
            organiser.run(stop.clone()).await;
        }
    };
    tokio::join!(announcing(&state, &said, begin, &stop), organising);
    let _ = tokio::time::timeout(DEPART, state.store.depart(state.settings.node.clone())).await;
}

async fn announcing(state: &NodeState, about: &str, begin: oneshot::Sender<()>, stop: &CancellationToken) {
    let mut tick = tokio::time::interval(state.settings.lease / 3);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut begin = Some(begin);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if announce(state, about).await.is_some_and(|announced| announced.organise)
            && let Some(begin) = begin.take()
        {
            let _ = begin.send(());
        }
    }
}

async fn announce(state: &NodeState, about: &str) -> Option<Announced> {
    let settings = &state.settings;
    let request = Announce {
        node: settings.node.clone(),
        info: about.to_owned(),
        wants_organise: settings.organise != Organise::Never,
        ttl_ms: settings.lease_ms(),
        max_organisers: if settings.organise == Organise::Always { u32::MAX } else { ORGANISERS },
    };
    match state.store.announce(request).await {
        Ok(announced) => {
            state.meter.announced();
            Some(announced)
        }
        Err(problem) if problem.is_retriable() => {
            debug!(%problem, "not announced");
            None
        }
        Err(problem) => {
            warn!(%problem, "this node cannot be announced to its group");
            None
        }
    }
}

fn join(client: &Client, state: &NodeState, about: About) -> Membership {
    let settings = &state.settings;
    let mut options = MembershipOptions::new(settings.topics.clone());
    options.protocol = match GroupProtocol::named(client.settings().text("group.protocol")) {
        // The newer one lets any consumer in, which would be given partitions whose units are in the hands of nodes.
        GroupProtocol::Auto if !about.private_store => GroupProtocol::Classic,
        protocol => protocol,
    };
    options.session_timeout = settings.session_timeout;
    options.heartbeat_interval = (settings.session_timeout / 5).min(options.heartbeat_interval);
    options.rebalance_timeout = settings.drain_timeout.mul_f64(1.5).max(settings.session_timeout);
    options.name = settings.node.clone();
    options.about = about.of(&settings.node).json().into();
    Membership::join(client, &settings.group, options)
}
