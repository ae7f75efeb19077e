//! What makes and scales pods: Deployments, StatefulSets, DaemonSets, Jobs, CronJobs, autoscalers, budgets; and events.

use super::{Amount, Condition, Meta, Moment, PodTemplate, Port, Selector, skinny};

skinny! {
    /// A Deployment.
    pub struct Deployment {
        metadata: Meta,
        spec: DeploymentSpec,
        status: ReplicaStatus,
    }
    /// What it is to be.
    pub struct DeploymentSpec {
        replicas: Option<i64>,
        selector: Selector,
        template: PodTemplate,
        paused: bool,
        strategy: Strategy,
        progress_deadline_seconds: Option<i64>,
        min_ready_seconds: i64,
    }
    /// How it is rolled out.
    pub struct Strategy {
        #[serde(rename = "type")]
        kind: String,
        rolling_update: Option<RollingUpdate>,
    }
    /// Step by step.
    pub struct RollingUpdate {
        max_unavailable: Option<Port>,
        max_surge: Option<Port>,
        partition: Option<i64>,
    }
    /// How many pods there are. DaemonSets have names of their own for the same.
    pub struct ReplicaStatus {
        replicas: i64,
        ready_replicas: i64,
        available_replicas: i64,
        updated_replicas: i64,
        unavailable_replicas: i64,
        observed_generation: i64,
        current_revision: String,
        update_revision: String,
        desired_number_scheduled: i64,
        current_number_scheduled: i64,
        number_ready: i64,
        number_available: i64,
        number_misscheduled: i64,
        updated_number_scheduled: i64,
        conditions: Vec<Condition>,
    }
    /// A ReplicaSet; from the cluster only its metadata, unless its Deployment is unwell.
    pub struct ReplicaSet {
        metadata: Meta,
        spec: ReplicaSetSpec,
        status: ReplicaStatus,
    }
    /// What it is to be.
    pub struct ReplicaSetSpec {
        replicas: Option<i64>,
        template: Option<Box<PodTemplate>>,
    }
    /// A StatefulSet.
    pub struct StatefulSet {
        metadata: Meta,
        spec: StatefulSetSpec,
        status: ReplicaStatus,
    }
    /// What it is to be.
    pub struct StatefulSetSpec {
        replicas: Option<i64>,
        selector: Selector,
        template: PodTemplate,
        service_name: String,
        pod_management_policy: String,
        update_strategy: Strategy,
        volume_claim_templates: Vec<super::Claim>,
    }
    /// A DaemonSet.
    pub struct DaemonSet {
        metadata: Meta,
        spec: DaemonSetSpec,
        status: ReplicaStatus,
    }
    /// What it is to be.
    pub struct DaemonSetSpec {
        selector: Selector,
        template: PodTemplate,
        update_strategy: Strategy,
    }
    /// A Job.
    pub struct Job {
        metadata: Meta,
        spec: JobSpec,
        status: JobStatus,
    }
    /// What it is to do.
    pub struct JobSpec {
        suspend: bool,
        completions: Option<i64>,
        parallelism: Option<i64>,
        backoff_limit: Option<i64>,
        active_deadline_seconds: Option<i64>,
        selector: Selector,
        template: PodTemplate,
    }
    /// How far it is.
    pub struct JobStatus {
        active: i64,
        succeeded: i64,
        failed: i64,
        ready: i64,
        start_time: Moment,
        completion_time: Moment,
        conditions: Vec<Condition>,
    }
    /// A CronJob.
    pub struct CronJob {
        metadata: Meta,
        spec: CronJobSpec,
        status: CronJobStatus,
    }
    /// When it runs.
    pub struct CronJobSpec {
        schedule: String,
        time_zone: String,
        suspend: bool,
        concurrency_policy: String,
        starting_deadline_seconds: Option<i64>,
        job_template: JobTemplate,
    }
    /// What it runs.
    pub struct JobTemplate {
        spec: JobSpec,
    }
    /// When it ran.
    pub struct CronJobStatus {
        active: Vec<super::Target>,
        last_schedule_time: Moment,
        last_successful_time: Moment,
    }
    /// A HorizontalPodAutoscaler.
    pub struct Autoscaler {
        metadata: Meta,
        spec: AutoscalerSpec,
        status: AutoscalerStatus,
    }
    /// What it scales, and how far.
    pub struct AutoscalerSpec {
        scale_target_ref: super::Target,
        min_replicas: Option<i64>,
        max_replicas: i64,
        metrics: Vec<Metric>,
    }
    /// What it scales by.
    pub struct Metric {
        #[serde(rename = "type")]
        kind: String,
        resource: Option<ResourceMetric>,
        container_resource: Option<ResourceMetric>,
    }
    /// A resource of the pods.
    pub struct ResourceMetric {
        name: String,
        container: String,
        target: MetricTarget,
    }
    /// What it aims at.
    pub struct MetricTarget {
        #[serde(rename = "type")]
        kind: String,
        average_utilization: Option<i64>,
        average_value: Option<Amount>,
    }
    /// What it did.
    pub struct AutoscalerStatus {
        current_replicas: i64,
        desired_replicas: i64,
        current_metrics: Vec<CurrentMetric>,
        conditions: Vec<Condition>,
    }
    /// What it measured.
    pub struct CurrentMetric {
        #[serde(rename = "type")]
        kind: String,
        resource: Option<CurrentResource>,
    }
    /// Of a resource.
    pub struct CurrentResource {
        name: String,
        current: CurrentValue,
    }
    /// In percent of the requests, and on average.
    pub struct CurrentValue {
        average_utilization: Option<i64>,
        average_value: Option<Amount>,
    }
    /// A PodDisruptionBudget.
    pub struct Budget {
        metadata: Meta,
        spec: BudgetSpec,
        status: BudgetStatus,
    }
    /// How many pods it keeps.
    pub struct BudgetSpec {
        selector: Option<Selector>,
        min_available: Option<Port>,
        max_unavailable: Option<Port>,
    }
    /// How many may go.
    pub struct BudgetStatus {
        disruptions_allowed: i64,
        current_healthy: i64,
        desired_healthy: i64,
        expected_pods: i64,
        observed_generation: i64,
        conditions: Vec<Condition>,
    }
    /// An event.
    pub struct Event {
        metadata: Meta,
        involved_object: super::Target,
        reason: String,
        message: String,
        #[serde(rename = "type")]
        kind: String,
        count: i64,
        first_timestamp: Moment,
        last_timestamp: Moment,
        event_time: Moment,
        series: Option<Series>,
        source: Source,
        reporting_component: String,
        related: Option<super::Target>,
    }
    /// How often it came.
    pub struct Series {
        count: i64,
        last_observed_time: Moment,
    }
    /// Who says it.
    pub struct Source {
        component: String,
        host: String,
    }
}

impl Event {
    /// When it was last seen.
    pub fn last(&self) -> Moment {
        let series = self.series.as_ref().map(|s| s.last_observed_time).unwrap_or_default();
        [series, self.last_timestamp, self.event_time, self.metadata.creation_timestamp]
            .into_iter()
            .find(|m| m.is_set())
            .unwrap_or_default()
    }
    /// When it was first seen.
    pub fn first(&self) -> Moment {
        [self.first_timestamp, self.event_time, self.metadata.creation_timestamp]
            .into_iter()
            .find(|m| m.is_set())
            .unwrap_or_default()
    }
    /// How often it was seen.
    pub fn times(&self) -> i64 {
        self.series.as_ref().map_or(self.count, |s| s.count).max(1)
    }
}
