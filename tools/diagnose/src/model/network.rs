//! Services, their endpoints, Ingresses and network policies.

use super::{Condition, Labels, Map, Meta, Moment, Port, Selector, skinny};

skinny! {
    /// A reference to an object of any kind.
    pub struct Target {
        kind: String,
        api_version: String,
        name: String,
        namespace: String,
        uid: Box<str>,
        field_path: String,
    }
    /// A Service.
    pub struct Service {
        metadata: Meta,
        spec: ServiceSpec,
        status: ServiceStatus,
    }
    /// What it leads to.
    pub struct ServiceSpec {
        #[serde(rename = "type")]
        kind: String,
        selector: Labels,
        ports: Vec<ServicePort>,
        #[serde(rename = "clusterIP")]
        cluster_ip: String,
        external_name: String,
        publish_not_ready_addresses: bool,
        internal_traffic_policy: String,
        external_traffic_policy: String,
        load_balancer_class: String,
        #[serde(rename = "externalIPs")]
        external_ips: Vec<String>,
    }
    /// One of its ports.
    pub struct ServicePort {
        name: String,
        port: i64,
        target_port: Option<Port>,
        protocol: String,
        node_port: i64,
    }
    /// Where it can be reached.
    pub struct ServiceStatus {
        load_balancer: LoadBalancer,
        conditions: Vec<Condition>,
    }
    /// Addresses that a load balancer gave.
    pub struct LoadBalancer {
        ingress: Vec<Address>,
    }
    /// One of them.
    pub struct Address {
        ip: String,
        hostname: String,
    }
    /// Endpoints of a Service.
    pub struct EndpointSlice {
        metadata: Meta,
        endpoints: Vec<Endpoint>,
        ports: Vec<EndpointPort>,
        address_type: String,
    }
    /// One of them.
    pub struct Endpoint {
        addresses: Vec<String>,
        conditions: EndpointConditions,
        target_ref: Option<Target>,
        node_name: String,
    }
    /// Whether it serves.
    pub struct EndpointConditions {
        ready: Option<bool>,
        serving: Option<bool>,
        terminating: Option<bool>,
    }
    /// At which port.
    pub struct EndpointPort {
        name: String,
        port: Option<i64>,
        protocol: String,
    }
    /// An Ingress.
    pub struct Ingress {
        metadata: Meta,
        spec: IngressSpec,
        status: IngressStatus,
    }
    /// What it routes.
    pub struct IngressSpec {
        ingress_class_name: String,
        default_backend: Option<Backend>,
        tls: Vec<IngressTls>,
        rules: Vec<IngressRule>,
    }
    /// Certificates.
    pub struct IngressTls {
        hosts: Vec<String>,
        secret_name: String,
    }
    /// For one host.
    pub struct IngressRule {
        host: String,
        http: Option<IngressHttp>,
    }
    /// All paths of a host.
    pub struct IngressHttp {
        paths: Vec<IngressPath>,
    }
    /// One path.
    pub struct IngressPath {
        path: String,
        path_type: String,
        backend: Backend,
    }
    /// Where a path leads.
    pub struct Backend {
        service: Option<BackendService>,
        resource: Option<Target>,
    }
    /// To a port of a Service.
    pub struct BackendService {
        name: String,
        port: BackendPort,
    }
    /// By number or name.
    pub struct BackendPort {
        number: i64,
        name: String,
    }
    /// Where it can be reached.
    pub struct IngressStatus {
        load_balancer: LoadBalancer,
    }
    /// An IngressClass.
    pub struct IngressClass {
        metadata: Meta,
        spec: IngressClassSpec,
    }
    /// Who serves it.
    pub struct IngressClassSpec {
        controller: String,
    }
    /// A NetworkPolicy.
    pub struct NetworkPolicy {
        metadata: Meta,
        spec: NetworkPolicySpec,
    }
    /// What it lets through.
    pub struct NetworkPolicySpec {
        pod_selector: Selector,
        policy_types: Vec<String>,
        ingress: Vec<PolicyRule>,
        egress: Vec<PolicyRule>,
    }
    /// One rule: from or to any of the peers, at any of the ports; none means all.
    pub struct PolicyRule {
        from: Vec<Peer>,
        to: Vec<Peer>,
        ports: Vec<PolicyPort>,
    }
    /// Somebody at the other end.
    pub struct Peer {
        pod_selector: Option<Selector>,
        namespace_selector: Option<Selector>,
        ip_block: Option<IpBlock>,
    }
    /// By address.
    pub struct IpBlock {
        cidr: String,
        except: Vec<String>,
    }
    /// A port.
    pub struct PolicyPort {
        protocol: String,
        port: Option<Port>,
        end_port: Option<i64>,
    }
    /// A Lease.
    pub struct Lease {
        metadata: Meta,
        spec: LeaseSpec,
    }
    /// Who has it, and since when it was not renewed.
    pub struct LeaseSpec {
        holder_identity: String,
        renew_time: Moment,
        lease_duration_seconds: Option<i64>,
    }
    /// An object of a kind that only some clusters have, whole.
    pub struct Custom {
        metadata: Meta,
        spec: Map<serde_json::Value>,
        status: Map<serde_json::Value>,
    }
}
