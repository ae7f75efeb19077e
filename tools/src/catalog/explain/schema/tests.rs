//! Schemas with references, maps, lists, circles and nonsense.

use serde_json::json;

use super::*;

fn kind() -> ApiKind {
    ApiKind {
        group: "example.com".into(),
        version: "v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
        singular: "widget".into(),
        short_names: Vec::new(),
        namespaced: true,
    }
}

fn document() -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/com.example.{name}")});
    json!({"components": {"schemas": {
        "com.example.Widget": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Widget"}],
            "properties": {"spec": {"description": "What is wanted.", "default": {}, "allOf": [reference("Spec")]}, "raw": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
        "com.example.Spec": {"type": "object", "description": "The spec.", "required": ["size"], "properties": {
            "size": {"type": "integer", "format": "int32"},
            "parts": {"type": "array", "items": {"allOf": [reference("Part")]}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "port": {"x-kubernetes-int-or-string": true},
            "slots": {"type": "object", "additionalProperties": reference("Part")},
            "again": reference("Spec"),
            "loop": reference("Loop")}},
        "com.example.Part": {"type": "object", "properties": {"image": {"type": "string"}, "limit": reference("Quantity"), "restartPolicy": {"type": "string"}}},
        "com.example.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
        "com.example.Loop": {"allOf": [reference("Loop")], "items": reference("Loop")},
    }}})
}

fn find(path: &str) -> Result<(String, String, bool), Box<Missing>> {
    let document = document();
    let schemas = Schemas::of(&document, &kind()).unwrap();
    let path: Vec<String> = segments(path).collect();
    schemas.find(&path).map(|f| (f.path.join("."), schemas.type_name(&f.node), f.required))
}

#[test]
fn paths_lead_through_references_lists_and_maps() {
    let check = |said: &str, path: &str, type_name: &str| {
        let (at, name, _) = find(said).unwrap();
        assert_eq!((at.as_str(), name.as_str()), (path, type_name), "{said}");
    };
    check("", "", "object");
    check("spec", "spec", "Spec");
    check("SPEC.Size", "spec.size", "integer (int32)");
    check("spec.parts", "spec.parts", "[]Part");
    check("spec.parts[*].image", "spec.parts.image", "string");
    check(".spec.parts.0.limit", "spec.parts.limit", "Quantity");
    check("spec.labels", "spec.labels", "map[string]string");
    check("spec.labels.example.com/name", "spec.labels.example", "string");
    check("spec.slots.left.image", "spec.slots.left.image", "string");
    check("spec.port", "spec.port", "integer or string");
    check("spec.again.again.size", "spec.again.again.size", "integer (int32)");
    assert!(find("spec.size").unwrap().2, "required");
    assert!(!find("spec.port").unwrap().2);
}

#[test]
fn what_is_said_nearest_counts() {
    let document = document();
    let schemas = Schemas::of(&document, &kind()).unwrap();
    let spec = schemas.find(&["spec".into()]).unwrap().node;
    assert_eq!(spec.text("description"), "What is wanted.");
    let names: Vec<&str> = schemas.fields(&spec).iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, ["size", "parts", "labels", "port", "slots", "again", "loop"]);
    let parts = schemas.find(&["spec".into(), "parts".into()]).unwrap().node;
    assert_eq!(schemas.fields(&parts).len(), 3, "the fields of its items");
}

#[test]
fn a_path_that_leads_nowhere_names_what_is_near() {
    assert_eq!(find("spec.sizes").unwrap_err().similar, ["spec.size"]);
    let deeper = find("spec.restartpolicy").unwrap_err();
    assert_eq!(deeper.similar, ["spec.parts.restartPolicy"]);
    assert_eq!(find("image").unwrap_err().similar, ["spec.parts.image"]);
    let below = find("spec.size.x").unwrap_err();
    assert_eq!((below.parent_type.as_str(), below.siblings.len()), ("integer (int32)", 0));
    assert!(find("raw.anything").unwrap_err().is_open);
    let document = document();
    let schemas = Schemas::of(&document, &kind()).unwrap();
    let open = |path: &str| schemas.find(&segments(path).collect::<Vec<_>>()).unwrap().node.is_open();
    assert!(open("raw") && !open("spec.labels") && !open("spec.size") && !open("spec.parts"));
    let none = find("spec.zzzz").unwrap_err();
    assert!(none.similar.is_empty() && none.siblings.contains(&"parts".to_string()));
}

#[test]
fn circles_end() {
    assert!(find("spec.loop").is_ok());
    assert!(find("spec.loop.x").is_err());
    let (_, name, _) = find("spec.loop").unwrap();
    assert!(name.len() < 200, "{name}");
}

#[test]
fn nonsense_is_survived() {
    for document in [
        json!({}),
        json!({"components": {"schemas": []}}),
        json!({"components": {"schemas": {"a": {"x-kubernetes-group-version-kind": 5}}}}),
    ] {
        assert!(Schemas::of(&document, &kind()).is_none());
    }
    let gvk = json!([{"group": "example.com", "version": "v1", "kind": "Widget"}]);
    let odd = json!({"components": {"schemas": {"a": {"x-kubernetes-group-version-kind": gvk, "properties": 7, "items": 8, "allOf": [1, {"$ref": "#/components/schemas/none"}], "additionalProperties": true}}}});
    let schemas = Schemas::of(&odd, &kind()).unwrap();
    assert!(schemas.find(&["a".into()]).is_err());
    schemas.type_name(&schemas.find(&[]).unwrap().node);
}
