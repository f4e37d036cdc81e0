//! **announce** and **depart**: who is there, and who organises. Display and thrift only: nothing
//! that must hold depends on it.

use std::sync::Arc;

use super::{Node, State};
use crate::work::limits::{MAX_NODES, MAX_NODES_DROPPED};
use crate::work::{Announce, Announced, Refused, check_node};

impl State {
    /// Notes that a node lives, and whether it is to organise: if it does already, or fewer than the
    /// most allowed do. Nodes that fell silent are removed.
    pub fn announce(&mut self, now_ms: u64, request: &Announce) -> Result<Announced, Refused> {
        request.check()?;
        let now = self.clock.tick(now_ms);
        let is_silent = |seen: u64| seen + request.ttl_ms <= now;
        let silent = self.silent.iter().take(MAX_NODES_DROPPED).take_while(|(seen, _)| is_silent(*seen));
        let silent: Vec<_> =
            silent.filter(|(_, node)| **node != *request.node).map(|(_, node)| node.clone()).collect();

        let known = self.nodes.get(&*request.node);
        let was_organiser = known.is_some_and(|node| node.organises);
        let nodes = (self.nodes.len() - silent.len()) as u32;
        if known.is_none() && nodes >= MAX_NODES {
            return Err(Refused::TooManyNodes { nodes: self.nodes.len() as u32 });
        }

        for node in silent {
            self.remove_node(&node);
        }
        self.remove_node(&request.node);
        let organisers = self.nodes.values().filter(|node| node.organises).count();
        let has_room = organisers < request.max_organisers as usize;
        let organises = request.wants_organise && (was_organiser || has_room);
        let name: Arc<str> = request.node.as_str().into();
        self.silent.insert((now, name.clone()));
        self.nodes.insert(name, Node { info: request.info.clone(), seen_ms: now, organises });
        Ok(Announced { organise: organises, live_nodes: self.nodes.len() as u32 })
    }

    /// Removes a node that ends in good order, so that another may organise at once.
    pub fn depart(&mut self, now_ms: u64, node: &str) -> Result<(), Refused> {
        check_node(node)?;
        self.clock.tick(now_ms);
        self.remove_node(node);
        Ok(())
    }

    fn remove_node(&mut self, name: &str) {
        if let Some((name, node)) = self.nodes.remove_entry(name) {
            self.silent.remove(&(node.seen_ms, name));
        }
    }
}
