//! What the journal keeps of a write before it leaves.

use super::super::{Channel, Step, View};
use crate::journal::{Back, Intent, sha256};
use crate::object::text;
use crate::plan::{UndoBy, remake};

/// The write of a step with all that an undo needs.
pub(super) fn intent(
    view: &View,
    step: &Step,
    index: usize,
    steps: usize,
    words: &str,
    channel: Channel,
) -> Intent {
    let change = &step.change;
    let approved_by = match channel {
        Channel::Terminal => "terminal",
        Channel::Elicitation => "elicitation",
        Channel::Stamp => "kai approve",
        Channel::Policy => "policy",
    };
    Intent {
        step: index,
        steps,
        title: view.title.clone(),
        words: crate::redact::text(&crate::sanitize::line(words)),
        approved_by: approved_by.into(),
        context: view.context.clone(),
        identity: view.identity.clone(),
        object: change.object.clone(),
        group: change.kind.group.clone(),
        uid: text(&change.live, "/metadata/uid").into(),
        method: step.request.method.clone(),
        path: step.request.path.clone(),
        body_sha256: sha256(step.request.body.to_string().as_bytes()),
        touched: step.touched.clone(),
        template: match &change.undo {
            UndoBy::Template(object) => Some(object.clone()),
            _ => None,
        },
        undo: match &change.undo {
            UndoBy::Fields | UndoBy::Template(_) => Back::Fields,
            UndoBy::Delete => Back::Delete,
            UndoBy::Remake => match remake::manifest(&change.live) {
                Some(manifest) => Back::Remake { manifest },
                None => Back::Never { why: remake::SECRET.into() },
            },
            UndoBy::Never(why) => Back::Never { why: why.clone() },
        },
        undoes: view.undoes.clone(),
    }
}
