//! What containers used over days, as a Prometheus of the cluster has it, or why nobody knows. It is asked through the API
//! server, with the rights of whoever asks; what it answers is not trusted.

mod answer;
mod find;
mod owners;
mod queries;

use std::time::Duration;

use answer::{Figure, Figures, NoFigures};
pub use find::Place;
pub use owners::{Histories, Owners};
use owners::{Tables, matched};
pub use queries::Window;
use queries::{PROBE, Queries};

use crate::cluster::Cluster;
use crate::cluster::ask::Said;
use crate::error::ToolError;

/// How long one question may take here, and there: it is to end its work before nobody waits for it.
const DEADLINE: Duration = Duration::from_secs(20);
const THERE: u64 = 18;
/// Most bytes of one answer.
const MOST: usize = 16 << 20;
/// How many Services are tried at most.
const TRIES: usize = 4;

/// Histories, or why there are none.
#[derive(Clone, Debug, PartialEq)]
pub enum Prometheus {
    There(Past),
    /// No Service looks like one.
    Absent,
    /// Services may not be listed, or not be asked; in the API server's words.
    Forbidden(String),
    /// There is one, and it did not give what was asked for: the end of a sentence.
    Dead(String),
}

/// What was used.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Who says so.
    pub place: Place,
    /// Over which time; coarser than asked for where that was too much for it.
    pub window: Window,
    /// By workload and container.
    pub histories: Histories,
    /// Hours from the first to the last figure of all: it may keep less than was asked for.
    pub reach: f64,
    /// Whether it would know of containers that were killed for want of memory.
    pub tells_killed: bool,
    /// Pods with figures and no workload that is known.
    pub strangers: usize,
    /// What it warns of.
    pub warnings: Vec<String>,
}

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// All namespaces when `None`.
    pub namespace: Option<&'a str>,
    pub window: Window,
    /// Whose pods are whose.
    pub owners: &'a Owners,
    /// Whether sums over the pods of a workload are needed: only where there are autoscalers.
    pub sums: bool,
    /// A Service that is known; looked for when `None`.
    pub place: Option<&'a Place>,
}

impl Prometheus {
    /// Looks for a Prometheus and asks it.
    ///
    /// # Errors
    /// `Invalid` when the namespace cannot be one; others when the API server itself cannot be reached. That there is no
    /// history is an answer.
    pub async fn read(cluster: &Cluster, ask: &Ask<'_>) -> Result<Self, ToolError> {
        // Before anything is sent: a name that is none is nobody's fault but the caller's.
        Queries::new(ask.namespace, ask.window)?;
        let places = match ask.place {
            Some(place) if place.is_one() => vec![place.clone()],
            Some(_) => return Err(ToolError::Invalid("that cannot be a Service and its port".into())),
            None => match find::places(cluster).await {
                Ok(places) => places,
                Err(ToolError::Forbidden { message }) => return Ok(Self::Forbidden(message)),
                Err(e) => return Err(e),
            },
        };
        // Of several that do not answer, the likeliest says why.
        let mut why = None;
        for place in places.into_iter().take(TRIES) {
            let none = match question(cluster, &place, PROBE).await? {
                Ok(figures) if figures.all.iter().any(|f| f.value > 0.0) => {
                    return match past(cluster, place.clone(), ask).await? {
                        Ok(past) => Ok(Self::There(past)),
                        Err(none) => Ok(Self::without(&place, none)),
                    };
                }
                Ok(_) => NoFigures::Failed(
                    "has no container_cpu_usage_seconds_total: it does not scrape the kubelets".into(),
                ),
                Err(none) => none,
            };
            why.get_or_insert_with(|| Self::without(&place, none));
        }
        Ok(why.unwrap_or(Self::Absent))
    }

    fn without(place: &Place, none: NoFigures) -> Self {
        match none {
            NoFigures::Forbidden(message) => Self::Forbidden(message),
            NoFigures::TooMuch(why) | NoFigures::Failed(why) => Self::Dead(format!("{place} {why}")),
        }
    }

    /// How far the figures reach and whose they are, or why there are none and what to do.
    pub fn said(&self) -> String {
        let none = match self {
            Self::There(past) => return past.said(),
            Self::Absent => {
                "no Prometheus was found in this cluster. One that scrapes the kubelets would keep it".into()
            }
            Self::Forbidden(why) => format!(
                "you may not ask the cluster's Prometheus ({}). It takes the rights to list Services and to get services/proxy in its namespace",
                why.trim_end_matches('.')
            ),
            Self::Dead(why) => format!("the Prometheus {}", why.trim_end_matches('.')),
        };
        format!("There is no history of what is used: {none}. No requests are recommended without it.")
    }
}

impl Past {
    fn said(&self) -> String {
        let (reach, unit) =
            if self.reach < 48.0 { (self.reach, "hours") } else { (self.reach / 24.0, "days") };
        let mut said = format!(
            "The history is from the Prometheus {}, a figure every {} s, and reaches over {reach:.1} {unit}.",
            self.place, self.window.step
        );
        if !self.tells_killed {
            said.push_str(
                " It does not tell which containers were killed for want of memory (kube-state-metrics).",
            );
        }
        for warning in &self.warnings {
            said.push_str(&format!(" It warns: {warning}."));
        }
        said
    }
}

/// All questions; once more with fewer samples where they were too much.
async fn past(cluster: &Cluster, place: Place, ask: &Ask<'_>) -> Result<Result<Past, NoFigures>, ToolError> {
    let mut window = ask.window;
    let (mut tables, mut warnings) = match tables(cluster, &place, ask.namespace, window).await? {
        Err(NoFigures::TooMuch(_)) => {
            window = window.coarser();
            match tables(cluster, &place, ask.namespace, window).await? {
                Ok(found) => found,
                Err(none) => return Ok(Err(none)),
            }
        }
        Ok(found) => found,
        Err(none) => return Ok(Err(none)),
    };
    // Without these there is less to say, but what is said is right.
    let queries = Queries::new(ask.namespace, window)?;
    let mut or_less = |figures: Result<Figures, NoFigures>, what: &str| match figures {
        Ok(figures) => {
            warnings.extend(figures.warnings);
            Some(figures.all)
        }
        Err(NoFigures::Forbidden(why) | NoFigures::TooMuch(why) | NoFigures::Failed(why)) => {
            warnings.push(format!("asked {what}, it {why}"));
            None
        }
    };
    let (killed, told) = tokio::try_join!(
        question(cluster, &place, &queries.killed),
        question(cluster, &place, &queries.told)
    )?;
    let killed = or_less(killed, "what was killed");
    let told = or_less(told, "whether kube-state-metrics is there").unwrap_or_default();
    let tells_killed = killed.is_some() && told.iter().any(|f| f.value > 0.0);
    tables.killed = killed.unwrap_or_default();
    if ask.sums {
        let (cpu, memory) = tokio::try_join!(
            question(cluster, &place, &queries.cpu_sum),
            question(cluster, &place, &queries.memory_sum)
        )?;
        tables.cpu_sum = or_less(cpu, "for the CPU of all pods together").unwrap_or_default();
        tables.memory_sum = or_less(memory, "for the memory of all pods together").unwrap_or_default();
    }
    warnings.sort();
    warnings.dedup();
    let found = matched(&tables, ask.owners);
    let (histories, reach, strangers) = (found.histories, found.reach, found.strangers);
    Ok(Ok(Past { place, window, histories, reach, tells_killed, strangers, warnings }))
}

/// The figures without which there is no history, and what was warned of.
async fn tables(
    cluster: &Cluster,
    place: &Place,
    namespace: Option<&str>,
    window: Window,
) -> Result<Result<(Tables, Vec<String>), NoFigures>, ToolError> {
    let queries = Queries::new(namespace, window)?;
    let mut warnings = Vec::new();
    let mut all: Vec<Vec<Figure>> = Vec::new();
    // Two at a time: each holds every sample of the window in the server's memory.
    for pair in [[&queries.cpu, &queries.memory], [&queries.first, &queries.last]] {
        let (one, other) =
            tokio::try_join!(question(cluster, place, pair[0]), question(cluster, place, pair[1]))?;
        for figures in [one, other] {
            match figures {
                Ok(figures) => {
                    warnings.extend(figures.warnings);
                    all.push(figures.all);
                }
                Err(none) => return Ok(Err(none)),
            }
        }
    }
    let points = match question(cluster, place, &queries.points).await? {
        Ok(figures) => figures.all,
        Err(none) => return Ok(Err(none)),
    };
    let mut next = all.into_iter();
    let mut take = || next.next().unwrap_or_default();
    let (cpu, memory, first, last) = (take(), take(), take(), take());
    Ok(Ok((Tables { cpu, memory, first, last, points, ..Tables::default() }, warnings)))
}

/// One question.
async fn question(
    cluster: &Cluster,
    place: &Place,
    query: &str,
) -> Result<Result<Figures, NoFigures>, ToolError> {
    let said = match cluster.ask(&place.path(query, THERE), MOST, DEADLINE).await {
        // The API server hangs up when what it passes on breaks off early. What is told beside the history stands.
        Err(ToolError::Unreachable { message }) => {
            return Ok(Err(NoFigures::Failed(format!("gave no answer ({message})"))));
        }
        said => said?,
    };
    Ok(match said {
        Said::Answer(status, body) => answer::read(status, &body),
        Said::Late => Err(NoFigures::TooMuch(format!("did not answer within {} s", DEADLINE.as_secs()))),
        Said::Broken(how) => Err(NoFigures::Failed(format!("broke off its answer ({how})"))),
        Said::TooMuch => Err(NoFigures::Failed(format!(
            "answered with more than {} MiB: ask for one namespace",
            MOST >> 20
        ))),
    })
}

#[cfg(test)]
mod tests;
