//! Images that do not come: names and tags that are not there, registries that refuse, cannot be reached or are unknown.

mod access;
mod image;
mod registry;
mod text;

use super::image::{Image, parse};
use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Object};
use crate::model::{Container, Moment};
use crate::rules::Case;
use text::{Failure, classify};

/// The causes of this family.
pub const CAUSES: &[Cause] = &[
    image::TAG_MISSING,
    image::ARCH_MISMATCH,
    image::NAME_INVALID,
    image::NEVER_PULL,
    image::NO_SPACE,
    image::SLOW,
    image::SIGNATURE_REJECTED,
    access::REPO_DENIED,
    access::SECRET_MISSING,
    access::SECRET_WRONG,
    registry::HOST_UNKNOWN,
    registry::UNREACHABLE,
    registry::TLS,
    registry::RATE_LIMITED,
];

/// A pull that failed, and the words in which the kubelet says so.
struct Pull<'a, 'c> {
    case: &'c Case<'a>,
    image: Image<'a>,
    maker: Object,
    /// `containers[web] ImagePullBackOff`, or the event.
    at: String,
    said: String,
    since: Moment,
}

/// What explains that a container has no image.
pub fn container<'a>(engine: &mut Engine<'a>, case: &Case<'a>) -> Roots {
    let Some(waiting) = &case.status.state.waiting else { return Roots::new() };
    let name = &case.container.name;
    let image = case.container.image.as_str();
    let mut pull = Pull {
        case,
        image: parse(image),
        maker: engine.index.maker(case.pod),
        at: format!("containers[{name}] {}", waiting.reason),
        said: waiting.message.clone(),
        since: case.pod.metadata.creation_timestamp,
    };
    let memo = |class: &str| {
        // One container of one workload is one cause, however many pods it has.
        Object::new("pull", &pull.maker.namespace, &format!("{class} {} {name} {image}", pull.maker))
    };
    let key = memo("image");
    match waiting.reason.as_str() {
        "InvalidImageName" => engine.explain(&key, |e| image::invalid(e, &pull)),
        "ErrImageNeverPull" => engine.explain(&key, |e| image::never(e, &pull)),
        "SignatureValidationFailed" => engine.explain(&key, |e| image::signature(e, &pull)),
        "ContainerCreating" | "PodInitializing" => image::slow(engine, &pull),
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
            let mut failure = classify(&pull.said, image);
            if failure.is_none() {
                // Kubelets before 1.30 keep the error to the event.
                let quoted = format!("\"{image}\"");
                let event = engine.index.events(&case.pod.metadata).iter().find(|e| {
                    e.reason == "Failed"
                        && e.message.contains(&quoted)
                        && classify(&e.message, image).is_some()
                });
                if let Some(event) = event {
                    failure = classify(&event.message, image);
                    pull.at = "event Failed".into();
                    pull.said = event.message.clone();
                }
            }
            match failure.or((waiting.reason == "RegistryUnavailable").then_some(Failure::Unreachable)) {
                Some(Failure::Missing) => engine.explain(&key, |e| image::missing(e, &pull)),
                Some(Failure::Architecture) => engine.explain(&key, |e| image::architecture(e, &pull)),
                Some(Failure::NoSpace) => image::no_space(engine, &pull),
                Some(Failure::Denied) => engine.explain(&key, |e| access::denied(e, &pull)),
                Some(failure) => registry::explain(engine, &pull, failure),
                None => Roots::new(),
            }
        }
        _ => Roots::new(),
    }
}

/// The image of a container of that name in the newest earlier revision that has another one; asks for the revision
/// where it was not read.
fn earlier(engine: &mut Engine<'_>, pull: &Pull<'_, '_>) -> Option<String> {
    let container = &pull.case.container;
    let earlier = super::earlier::container(engine, pull.case.pod, &container.name, pull.case.is_init)?;
    (earlier.image != container.image && !earlier.image.is_empty()).then(|| earlier.image.clone())
}

/// Images that run anywhere, with the object that runs them: containers that are ready.
fn running<'a>(
    engine: &Engine<'a>,
) -> impl Iterator<Item = (&'a crate::model::Pod, &'a Container)> + use<'a> {
    let snap = engine.snap;
    snap.pods.items.iter().flat_map(|pod| {
        let ready =
            pod.containers().filter(|(_, s, _)| s.is_some_and(|s| s.ready || s.state.running.is_some()));
        ready.map(move |(container, _, _)| (pod, container)).collect::<Vec<_>>()
    })
}
