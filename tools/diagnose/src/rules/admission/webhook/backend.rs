//! What is behind a webhook: its Service, and whether anybody answers there.

use crate::engine::Engine;
use crate::model::Service;
use crate::rules::services;
use crate::rules::similar::nearest;
use crate::snapshot::Lookup;

use super::hook::Hook;

/// How the Service of a webhook is.
#[derive(Clone, Copy)]
pub(super) enum Backend<'a> {
    /// Somebody answers there, as far as objects show.
    Serves(&'a Service),
    /// It is not there; one of nearly that name is.
    NoService(Option<&'a str>),
    /// It has no such port.
    NoPort(&'a Service),
    /// It has no endpoint that is ready.
    Silent(&'a Service),
    /// It is outside of the cluster, or may not be seen.
    Unknown,
}

/// How the Service of a webhook is.
pub(super) fn state<'a>(engine: &Engine<'a>, hook: Hook<'a>) -> Backend<'a> {
    let snap = engine.snap;
    let Some(target) = &hook.webhook.client_config.service else { return Backend::Unknown };
    match snap.services.find(&target.namespace, &target.name) {
        Lookup::Unknown => Backend::Unknown,
        Lookup::Absent => {
            let here = snap.services.of(&target.namespace).iter().map(|s| s.metadata.name.as_str());
            Backend::NoService(nearest(&target.name, here))
        }
        Lookup::Found(service) if !service.spec.ports.iter().any(|p| p.port == hook.port()) => {
            Backend::NoPort(service)
        }
        Lookup::Found(_) if !snap.endpoint_slices.sees(&target.namespace) => Backend::Unknown,
        Lookup::Found(service) if services::serves(engine, service) => Backend::Serves(service),
        Lookup::Found(service) => Backend::Silent(service),
    }
}

/// The ports that the Service of a webhook does have.
pub(super) fn ports(state: Backend<'_>) -> Vec<i64> {
    match state {
        Backend::NoPort(service) => service.spec.ports.iter().map(|p| p.port).collect(),
        _ => Vec::new(),
    }
}
