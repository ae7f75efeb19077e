//! What lets objects in or keeps them out: quotas, limits, webhooks, aggregated APIs, custom kinds, roles.

use super::{Condition, Map, Meta, Resources, Selector, Target, skinny};

skinny! {
    /// A ResourceQuota.
    pub struct Quota {
        metadata: Meta,
        spec: QuotaSpec,
        status: QuotaStatus,
    }
    /// What it allows.
    pub struct QuotaSpec {
        hard: Resources,
        scopes: Vec<String>,
    }
    /// What is used.
    pub struct QuotaStatus {
        hard: Resources,
        used: Resources,
    }
    /// A LimitRange.
    pub struct LimitRange {
        metadata: Meta,
        spec: LimitRangeSpec,
    }
    /// Its limits.
    pub struct LimitRangeSpec {
        limits: Vec<Limit>,
    }
    /// One of them.
    pub struct Limit {
        #[serde(rename = "type")]
        kind: String,
        min: Resources,
        max: Resources,
        default: Resources,
        default_request: Resources,
        max_limit_request_ratio: Resources,
    }
    /// A webhook configuration, validating or mutating.
    pub struct WebhookConfig {
        metadata: Meta,
        webhooks: Vec<Webhook>,
    }
    /// One webhook.
    pub struct Webhook {
        name: String,
        failure_policy: String,
        client_config: WebhookClient,
        rules: Vec<WebhookRule>,
        namespace_selector: Option<Selector>,
        object_selector: Option<Selector>,
        timeout_seconds: Option<i64>,
        match_conditions: Vec<super::Named>,
    }
    /// Whom it asks.
    pub struct WebhookClient {
        service: Option<ServiceRef>,
        url: String,
        ca_bundle: String,
    }
    /// A Service that answers for the API server.
    pub struct ServiceRef {
        namespace: String,
        name: String,
        port: Option<i64>,
        path: String,
    }
    /// What it is asked about.
    pub struct WebhookRule {
        api_groups: Vec<String>,
        api_versions: Vec<String>,
        resources: Vec<String>,
        operations: Vec<String>,
    }
    /// An APIService.
    pub struct ApiService {
        metadata: Meta,
        spec: ApiServiceSpec,
        status: Conditions,
    }
    /// Who serves it: none is the API server itself.
    pub struct ApiServiceSpec {
        service: Option<ServiceRef>,
        group: String,
        version: String,
    }
    /// A status that is conditions.
    pub struct Conditions {
        conditions: Vec<Condition>,
    }
    /// A CustomResourceDefinition, without its schemas.
    pub struct Crd {
        metadata: Meta,
        spec: CrdSpec,
        status: Conditions,
    }
    /// What it defines.
    pub struct CrdSpec {
        group: String,
        names: CrdNames,
        conversion: Option<Conversion>,
    }
    /// Its names.
    pub struct CrdNames {
        kind: String,
        plural: String,
    }
    /// How its versions are turned into each other.
    pub struct Conversion {
        strategy: String,
        webhook: Option<ConversionWebhook>,
    }
    /// By whom.
    pub struct ConversionWebhook {
        client_config: Option<WebhookClient>,
    }
    /// A RuntimeClass.
    pub struct RuntimeClass {
        metadata: Meta,
        handler: String,
    }
    /// A Role or ClusterRole.
    pub struct Role {
        metadata: Meta,
        rules: Vec<RoleRule>,
    }
    /// What it allows.
    pub struct RoleRule {
        api_groups: Vec<String>,
        resources: Vec<String>,
        verbs: Vec<String>,
        resource_names: Vec<String>,
    }
    /// A RoleBinding or ClusterRoleBinding.
    pub struct Binding {
        metadata: Meta,
        role_ref: Target,
        subjects: Vec<Target>,
    }
    /// A CertificateSigningRequest, without the request itself.
    pub struct SigningRequest {
        metadata: Meta,
        spec: SigningSpec,
        status: Conditions,
    }
    /// Who asks whom.
    pub struct SigningSpec {
        signer_name: String,
        username: String,
    }
    /// A ServiceAccount.
    pub struct ServiceAccount {
        metadata: Meta,
        image_pull_secrets: Vec<super::Named>,
    }
    /// A policy in CEL, or the binding that puts it in force.
    pub struct AdmissionPolicy {
        metadata: Meta,
        spec: Map<serde_json::Value>,
    }
}
