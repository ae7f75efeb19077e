//! From settings to a workbench: the connection, the rules of its context, the records.

use kai_tools::Cluster;
use kai_tools::cluster::wait::Stop;
use kai_tools::cluster::{ConnectOptions, contexts};
use kai_tools::journal::Journal;
use kai_tools::policy::{Mode, Policy};
use kai_tools::store::Store;

use crate::error::Failure;
use crate::execute::Workbench;
use crate::settings::Settings;

/// Connects to the cluster that the settings name.
///
/// # Errors
/// When kubeconfig, context or credentials cannot be used.
pub async fn workbench(settings: &Settings, stop: Stop) -> Result<Workbench, Failure> {
    connect(settings, settings.connect.clone(), stop).await
}

/// Connects with other options than the settings' own, for `/context` and saved plans.
///
/// # Errors
/// As [`workbench`].
pub async fn connect(
    settings: &Settings,
    mut options: ConnectOptions,
    stop: Stop,
) -> Result<Workbench, Failure> {
    if options.context.is_none() && !options.kubeconfig.is_empty() {
        options.context = contexts(&options.kubeconfig)?.1;
    }
    let policy = settings.policy(options.context.as_deref().unwrap_or("in-cluster"));
    options.read_only = policy.mode == Mode::ReadOnly;
    let cluster = Cluster::connect(options).await?;
    Ok(Workbench {
        cluster,
        policy,
        journal: journal(settings),
        store: Store::in_folder(&settings.state),
        pricing: std::sync::Arc::new(settings.pricing.clone()),
        dry_run: settings.dry_run,
        chosen_by_model: false,
        typed_by_person: true,
        stop,
    })
}

/// The rules of the context that the settings name, without connecting to it.
///
/// # Errors
/// When the kubeconfig cannot be read.
pub fn policy(settings: &Settings) -> Result<Policy, Failure> {
    let options = &settings.connect;
    let context = match &options.context {
        None if !options.kubeconfig.is_empty() => contexts(&options.kubeconfig)?.1,
        named => named.clone(),
    };
    Ok(settings.policy(context.as_deref().unwrap_or("in-cluster")))
}

/// The journal, which needs no cluster.
pub fn journal(settings: &Settings) -> Journal {
    Journal::in_folder(&settings.state)
}
