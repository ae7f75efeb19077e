//! `node`: cordons, uncordons and drains a node. A drain evicts, so that disruption budgets are kept; it refuses pods
//! with data on the node and pods that nobody makes again, unless they are asked for.

mod drain;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cluster::resolve::{Resolved, nearest, resolved};
use crate::error::ToolError;
use crate::object::{builtin, is_object_name};
use crate::plan::{Change, Plan};
use crate::sanitize;
use crate::tool::{Action, Context};

/// Cordon, uncordon or drain a node; disruption budgets are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub name: String,
    pub action: Verb,
    /// Drain pods with emptyDir too.
    pub delete_local_data: Option<bool>,
    /// Drain pods without a controller too.
    pub force: Option<bool>,
}

/// What to do with the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Cordon,
    Uncordon,
    Drain,
}

impl Action for Node {
    const NAME: &'static str = "node";
    const DESTRUCTIVE: bool = true;

    async fn plan(self, context: &Context) -> Result<Plan, ToolError> {
        let allows = self.force == Some(true) || self.delete_local_data == Some(true);
        if allows && self.action != Verb::Drain {
            return Err(ToolError::Invalid(
                "node: `delete_local_data` and `force` go with action `drain` only".into(),
            ));
        }
        let node = find(&context.cluster, &self.name).await?;
        match self.action {
            Verb::Drain => self.drain(&context.cluster, node).await,
            _ => Ok(self.changes(node)),
        }
    }
}

impl Node {
    /// Cordons or uncordons (pure).
    fn changes(&self, node: Resolved) -> Plan {
        let name = node.object.clone();
        let (verb, wanted) = match self.action {
            Verb::Uncordon => ("Uncordon", false),
            _ => ("Cordon", true),
        };
        if is_cordoned(&node.live) == wanted {
            let state = if wanted { "is cordoned already" } else { "is not cordoned" };
            return Plan { title: format!("nothing to change: {name} {state}"), ..Plan::default() };
        }
        let change = schedulable(node, !wanted);
        Plan { title: format!("{verb} {name}"), changes: vec![change], ..Plan::default() }
    }
}

async fn find(cluster: &Cluster, said: &str) -> Result<Resolved, ToolError> {
    let kind = builtin("node");
    let name = said.trim();
    let name = name.split_once('/').filter(|(word, _)| kind.is_called(word)).map_or(name, |(_, name)| name);
    if !is_object_name(name) {
        return Err(ToolError::Invalid(format!("`{}` cannot be the name of a node", sanitize::line(name))));
    }
    match cluster.find(&kind, "", name).await? {
        Some(live) => Ok(resolved(&kind, "", live, None)),
        None => {
            let names = cluster.names(&kind, None).await;
            let similar = nearest(name, names.iter().map(String::as_str));
            Err(ToolError::NotFound { message: format!("there is no node `{name}`"), similar })
        }
    }
}

fn is_cordoned(node: &Value) -> bool {
    node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true)
}

/// The node with or without new pods.
fn schedulable(node: Resolved, takes_pods: bool) -> Change {
    let mut after = node.live.clone();
    if takes_pods {
        if let Some(spec) = after.get_mut("spec").and_then(Value::as_object_mut) {
            spec.shift_remove("unschedulable");
        }
    } else {
        after["spec"]["unschedulable"] = json!(true);
    }
    Change::set(node, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(action: &str, cordoned: bool) -> Plan {
        let live = if cordoned { json!({"spec": {"unschedulable": true}}) } else { json!({"spec": {}}) };
        let mut live = live;
        live["metadata"] = json!({"name": "n1"});
        let node: Node = serde_json::from_value(json!({"name": "n1", "action": action})).unwrap();
        node.changes(resolved(&builtin("node"), "", live, None))
    }

    #[test]
    fn one_field_there_and_back() {
        let cordon = plan("cordon", false);
        assert_eq!(cordon.title, "Cordon node/n1");
        assert_eq!(cordon.changes[0].request().body["spec"], json!({"unschedulable": true}));
        assert_eq!(plan("uncordon", true).changes[0].request().body["spec"], json!({"unschedulable": null}));
        assert!(plan("cordon", true).title.contains("is cordoned already"));
        assert!(plan("uncordon", false).title.contains("is not cordoned"));
    }
}
