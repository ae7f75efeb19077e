//! Pods and the templates that make them.

use super::{Amount, Condition, Labels, Map, Meta, Moment, Named, Port, Requirement, Selector, skinny};

/// Amounts of resources by name.
pub type Resources = Map<Amount>;

skinny! {
    /// A pod.
    pub struct Pod {
        metadata: Meta,
        spec: PodSpec,
        status: PodStatus,
    }
    /// What makes pods.
    pub struct PodTemplate {
        metadata: TemplateMeta,
        spec: PodSpec,
    }
    /// Labels of the pods of a template.
    pub struct TemplateMeta {
        labels: Labels,
    }
    /// What a pod is to be.
    pub struct PodSpec {
        node_name: String,
        node_selector: Labels,
        affinity: Option<Box<Affinity>>,
        tolerations: Vec<Toleration>,
        topology_spread_constraints: Vec<Spread>,
        scheduler_name: String,
        scheduling_gates: Vec<Named>,
        priority_class_name: String,
        priority: Option<i64>,
        runtime_class_name: String,
        service_account_name: String,
        image_pull_secrets: Vec<Named>,
        containers: Vec<Container>,
        init_containers: Vec<Container>,
        volumes: Vec<Volume>,
        security_context: Option<Box<SecurityContext>>,
        host_network: bool,
        dns_policy: String,
        host_aliases: Vec<HostAlias>,
        restart_policy: String,
        readiness_gates: Vec<ReadinessGate>,
        termination_grace_period_seconds: Option<i64>,
        active_deadline_seconds: Option<i64>,
        overhead: Resources,
        resource_claims: Vec<Named>,
        subdomain: String,
    }
    /// A container.
    pub struct Container {
        name: String,
        image: String,
        image_pull_policy: String,
        command: Vec<String>,
        args: Vec<String>,
        working_dir: String,
        env: Vec<Env>,
        env_from: Vec<EnvFrom>,
        ports: Vec<ContainerPort>,
        resources: ContainerResources,
        liveness_probe: Option<Box<Probe>>,
        readiness_probe: Option<Box<Probe>>,
        startup_probe: Option<Box<Probe>>,
        lifecycle: Option<Box<Lifecycle>>,
        security_context: Option<Box<SecurityContext>>,
        volume_mounts: Vec<Mount>,
        restart_policy: String,
    }
    /// An environment variable.
    pub struct Env {
        name: String,
        value: String,
        value_from: Option<Box<EnvSource>>,
    }
    /// Where the value of a variable comes from.
    pub struct EnvSource {
        config_map_key_ref: Option<KeyRef>,
        secret_key_ref: Option<KeyRef>,
    }
    /// A key of a ConfigMap or Secret.
    pub struct KeyRef {
        name: String,
        key: String,
        optional: bool,
    }
    /// All keys of a ConfigMap or Secret as variables.
    pub struct EnvFrom {
        config_map_ref: Option<KeyRef>,
        secret_ref: Option<KeyRef>,
    }
    /// A port that a container declares.
    pub struct ContainerPort {
        name: String,
        container_port: i64,
        host_port: i64,
        #[serde(rename = "hostIP")]
        host_ip: String,
        protocol: String,
    }
    /// Requests and limits.
    pub struct ContainerResources {
        requests: Resources,
        limits: Resources,
    }
    /// A probe.
    pub struct Probe {
        http_get: Option<HttpGet>,
        tcp_socket: Option<TcpSocket>,
        grpc: Option<Grpc>,
        exec: Option<Exec>,
        initial_delay_seconds: i64,
        period_seconds: i64,
        timeout_seconds: i64,
        failure_threshold: i64,
    }
    /// A probe by HTTP.
    pub struct HttpGet {
        path: String,
        port: Port,
        host: String,
        scheme: String,
    }
    /// A probe by connecting.
    pub struct TcpSocket {
        port: Port,
        host: String,
    }
    /// A probe by gRPC.
    pub struct Grpc {
        port: i64,
    }
    /// A command in the container.
    pub struct Exec {
        command: Vec<String>,
    }
    /// What runs when a container starts and before it stops.
    pub struct Lifecycle {
        post_start: Option<Hook>,
        pre_stop: Option<Hook>,
    }
    /// A hook.
    pub struct Hook {
        exec: Option<Exec>,
        http_get: Option<HttpGet>,
    }
    /// How a pod or container is confined.
    pub struct SecurityContext {
        run_as_user: Option<i64>,
        run_as_group: Option<i64>,
        run_as_non_root: Option<bool>,
        fs_group: Option<i64>,
        read_only_root_filesystem: Option<bool>,
        privileged: Option<bool>,
        sysctls: Vec<Named>,
    }
    /// Where a volume is in a container.
    pub struct Mount {
        name: String,
        mount_path: String,
        sub_path: String,
        read_only: bool,
    }
    /// A volume.
    pub struct Volume {
        name: String,
        config_map: Option<Box<ConfigSource>>,
        secret: Option<Box<ConfigSource>>,
        persistent_volume_claim: Option<ClaimSource>,
        projected: Option<Box<Projected>>,
        empty_dir: Option<Box<EmptyDir>>,
        host_path: Option<Box<HostPath>>,
        csi: Option<Box<CsiSource>>,
        nfs: Option<Box<Nfs>>,
        ephemeral: Option<serde::de::IgnoredAny>,
    }
    /// A ConfigMap or Secret as files. Only one of the names is set, depending on the kind.
    pub struct ConfigSource {
        name: String,
        secret_name: String,
        optional: bool,
        items: Vec<KeyPath>,
        default_mode: Option<i64>,
    }
    /// A key as a file.
    pub struct KeyPath {
        key: String,
        path: String,
    }
    /// A claim.
    pub struct ClaimSource {
        claim_name: String,
    }
    /// Several sources in one volume.
    pub struct Projected {
        sources: Vec<ProjectedSource>,
    }
    /// One of them.
    pub struct ProjectedSource {
        config_map: Option<Box<ConfigSource>>,
        secret: Option<Box<ConfigSource>>,
    }
    /// A folder that lives as long as the pod.
    pub struct EmptyDir {
        medium: String,
        size_limit: Option<Amount>,
    }
    /// A path of the node.
    pub struct HostPath {
        path: String,
        #[serde(rename = "type")]
        kind: String,
    }
    /// A volume of a CSI driver without a claim.
    pub struct CsiSource {
        driver: String,
    }
    /// An NFS share.
    pub struct Nfs {
        server: String,
        path: String,
    }
    /// A name that a pod resolves by itself.
    pub struct HostAlias {
        ip: String,
        hostnames: Vec<String>,
    }
    /// A condition without which a pod is not ready.
    pub struct ReadinessGate {
        condition_type: String,
    }
    /// A taint that a pod tolerates.
    pub struct Toleration {
        key: String,
        operator: String,
        value: String,
        effect: String,
    }
    /// How pods spread over a topology.
    pub struct Spread {
        max_skew: i64,
        topology_key: String,
        when_unsatisfiable: String,
        label_selector: Option<Selector>,
        min_domains: Option<i64>,
    }
    /// Where a pod wants to be.
    pub struct Affinity {
        node_affinity: Option<NodeAffinity>,
        pod_affinity: Option<PodAffinity>,
        pod_anti_affinity: Option<PodAffinity>,
    }
    /// On which nodes.
    pub struct NodeAffinity {
        required_during_scheduling_ignored_during_execution: Option<NodeTerms>,
    }
    /// Alternatives, one of which must hold.
    pub struct NodeTerms {
        node_selector_terms: Vec<NodeTerm>,
    }
    /// Requirements that must all hold.
    pub struct NodeTerm {
        match_expressions: Vec<Requirement>,
        match_fields: Vec<Requirement>,
    }
    /// Near or far from which pods.
    pub struct PodAffinity {
        required_during_scheduling_ignored_during_execution: Vec<PodTerm>,
    }
    /// One such requirement.
    pub struct PodTerm {
        label_selector: Option<Selector>,
        namespace_selector: Option<Selector>,
        namespaces: Vec<String>,
        topology_key: String,
    }
    /// What a pod is.
    pub struct PodStatus {
        phase: String,
        reason: String,
        message: String,
        #[serde(rename = "podIP")]
        pod_ip: String,
        conditions: Vec<Condition>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
        start_time: Moment,
        nominated_node_name: String,
    }
    /// What a container is.
    pub struct ContainerStatus {
        name: String,
        ready: bool,
        started: Option<bool>,
        restart_count: i64,
        image: String,
        #[serde(rename = "imageID")]
        image_id: Box<str>,
        state: State,
        last_state: State,
    }
    /// One of the three states of a container.
    pub struct State {
        waiting: Option<Waiting>,
        running: Option<Running>,
        terminated: Option<Box<Terminated>>,
    }
    /// It waits.
    pub struct Waiting {
        reason: String,
        message: String,
    }
    /// It runs.
    pub struct Running {
        started_at: Moment,
    }
    /// It ended.
    pub struct Terminated {
        exit_code: i64,
        signal: i64,
        reason: String,
        message: String,
        started_at: Moment,
        finished_at: Moment,
    }
}

impl Pod {
    /// Whether the pod is done and will not run again.
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }
    /// Whether the pod serves.
    pub fn is_ready(&self) -> bool {
        super::condition(&self.status.conditions, "Ready").is_some_and(|c| c.status == "True")
    }
    /// Whether the kubelet made it from a file of its node.
    pub fn is_static(&self) -> bool {
        !self.metadata.annotations.get("kubernetes.io/config.mirror").is_empty()
            || self.metadata.controller().is_some_and(|o| o.kind == "Node")
    }
    /// Containers of the pod with their status: init containers first.
    pub fn containers(&self) -> impl Iterator<Item = (&Container, Option<&ContainerStatus>, bool)> {
        fn of<'a>(all: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
            all.iter().find(|s| s.name == name)
        }
        let init = self
            .spec
            .init_containers
            .iter()
            .map(|c| (c, of(&self.status.init_container_statuses, &c.name), true));
        let main =
            self.spec.containers.iter().map(|c| (c, of(&self.status.container_statuses, &c.name), false));
        init.chain(main)
    }
}

impl Container {
    /// Whether an init container goes on running beside the others.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == "Always"
    }
}

impl ConfigSource {
    /// The name, whichever of the two is set.
    pub fn name(&self) -> &str {
        if self.name.is_empty() { &self.secret_name } else { &self.name }
    }
}
