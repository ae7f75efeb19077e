//! What holds for every tool.

use super::TOOLS;

/// Arguments that are named as Kubernetes names them, so that a description would only cost tokens.
const SAYS_ITSELF: &[&str] = &[
    "manifest",
    "output",
    "optimize",
    "action",
    "weight",
    "all_namespaces",
    "annotations",
    "factor",
    "target",
    "user",
    "type",
    "startup",
    "unset",
    "off",
    "value",
    "by",
    "args",
    "as",
    "command",
    "container",
    "cpu",
    "cpu_limit",
    "cpu_request",
    "cpu_target",
    "by",
    "env",
    "env_from",
    "force",
    "from",
    "host",
    "image",
    "key",
    "kind",
    "labels",
    "limit",
    "liveness",
    "local_port",
    "max",
    "max_replicas",
    "memory",
    "memory_limit",
    "memory_request",
    "memory_target",
    "min",
    "name",
    "names",
    "namespace",
    "node_port",
    "node_selector",
    "off",
    "path",
    "port",
    "ports",
    "prefer_nodes",
    "readiness",
    "read_only_root",
    "readiness",
    "release",
    "replace",
    "replicas",
    "resource",
    "revision",
    "selector",
    "service",
    "service_account",
    "service_port",
    "since",
    "tail",
    "target_port",
    "to",
    "tolerations",
    "until",
    "values",
    "verb",
    "warnings",
    "weight",
    "workload",
];

#[test]
fn names_are_unique_snake_case_verbs_or_nouns() {
    for (i, tool) in TOOLS.iter().enumerate() {
        assert!(tool.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", tool.name);
        assert!(TOOLS.iter().skip(i + 1).all(|t| t.name != tool.name), "{} twice", tool.name);
    }
}

#[test]
fn schemas_are_closed_plain_and_described() {
    for tool in TOOLS {
        assert!(tool.description().len() > 20 && tool.description().is_ascii(), "{} is described", tool.name);
        let schema = tool.schema();
        assert_eq!(schema["type"], "object", "{}", tool.name);
        assert_eq!(schema["additionalProperties"], false, "{}", tool.name);
        let text = schema.to_string();
        for word in ["$ref", "$defs", "oneOf", "anyOf", "const", "\"format\"", "null"] {
            assert!(!text.contains(word), "{} has {word}: {text}", tool.name);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(
                property["description"].is_string()
                    || property["enum"].is_array()
                    || SAYS_ITSELF.contains(&name.as_str()),
                "{}.{name} is described",
                tool.name
            );
            assert!(property["type"].is_string(), "{}.{name} has one type: {property}", tool.name);
        }
    }
}

/// What the whole catalogue may cost in every request to a model.
const TOKENS: usize = 3_000;

#[test]
fn the_catalogue_is_small_enough_to_be_sent_with_every_request() {
    let tokenizer = tiktoken_rs::o200k_base().unwrap();
    let mut all = 0;
    let mut each = Vec::new();
    for tool in TOOLS {
        let shown = serde_json::json!({
            "name": tool.name, "description": tool.description(), "parameters": tool.schema_for_model()});
        let tokens = tokenizer.encode_ordinary(&shown.to_string()).len();
        each.push(format!("{} {tokens}", tool.name));
        all += tokens;
    }
    println!("{all} tokens for {} tools: {}", TOOLS.len(), each.join(", "));
    assert!(all <= TOKENS, "{all} tokens: {}", each.join(", "));
}
