//! What a tool is: a typed query that reports, or a typed action that plans. Never one that writes.

use std::future::Future;
use std::pin::Pin;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::ToolError;
use crate::journal::Journal;
use crate::plan::Plan;
use crate::policy::Need;
use crate::report::Report;

/// What a tool may look at while it works: the cluster to read, the moment and the words of the request.
#[derive(Clone)]
pub struct Context {
    pub cluster: Cluster,
    /// When the request was made. A plan made again from a file uses the time of the file, so that it is the same plan.
    pub now: jiff::Timestamp,
    /// What the person said, where a language model chose what to call for it; else empty.
    pub words: String,
    /// Whether a person typed the paths in the arguments; else only those below the working folder are read.
    pub paths_are_typed: bool,
    pub journal: Journal,
    /// The prices that the person gave.
    pub pricing: std::sync::Arc<crate::cost::Pricing>,
}

/// A tool that reads and reports. The struct is its arguments; its doc comment is its description.
pub trait Query: DeserializeOwned + JsonSchema + Send + 'static {
    const NAME: &'static str;
    /// Reads and reports.
    ///
    /// # Errors
    /// What cannot be found, read or understood, with what to try.
    fn run(self, context: &Context) -> impl Future<Output = Result<Report, ToolError>> + Send;
}

/// A tool that would change something. It cannot: it returns what would change, and `review` does the rest.
pub trait Action: DeserializeOwned + JsonSchema + Send + 'static {
    const NAME: &'static str;
    /// Whether the change can lose something that an undo does not bring back. True for MCP's `destructiveHint`.
    const DESTRUCTIVE: bool;
    /// What policy must have allowed before the tool is offered at all.
    const NEEDS: Option<Need> = None;
    /// Reads what is needed and decides what would change.
    ///
    /// # Errors
    /// What cannot be found, read or understood, and what the tool refuses.
    fn plan(self, context: &Context) -> impl Future<Output = Result<Plan, ToolError>> + Send;
}

/// What a call comes to.
pub enum Outcome {
    Report(Report),
    Plan(Plan),
}

/// Whether a tool only reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Reads,
    Changes { destructive: bool },
}

type Run = fn(Value, Context) -> Pin<Box<dyn Future<Output = Result<Outcome, ToolError>> + Send>>;

/// A tool as data: what model, MCP and command line are told, and how to run it.
#[derive(Clone, Copy)]
pub struct Tool {
    pub name: &'static str,
    pub effect: Effect,
    /// What policy must have allowed before it is offered.
    pub needs: Option<Need>,
    schema: fn() -> Value,
    run: Run,
}

impl Tool {
    /// The doc comment of the argument struct: what the tool does, for people and models.
    pub fn description(&self) -> String {
        (self.schema)().get("description").and_then(Value::as_str).unwrap_or("").replace('\n', " ")
    }

    /// The JSON schema of the arguments: closed, inline, no references.
    pub fn schema(&self) -> Value {
        let mut schema = (self.schema)();
        if let Some(root) = schema.as_object_mut() {
            root.shift_remove("title");
            root.shift_remove("description");
        }
        schema
    }

    /// The same schema in fewer words, for models: that unknown arguments are refused they learn when they send one.
    pub fn schema_for_model(&self) -> Value {
        let mut schema = self.schema();
        if let Some(root) = schema.as_object_mut() {
            root.shift_remove("additionalProperties");
            // That the values of a map are texts is said by every example of one.
            for property in root.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
                if let Some(map) = property.1.as_object_mut() {
                    map.shift_remove("additionalProperties");
                }
            }
        }
        schema
    }

    /// Checks the arguments and runs the tool.
    ///
    /// # Errors
    /// [`ToolError::Invalid`] for arguments that do not fit, naming the argument; else what the tool says.
    pub async fn call(&self, arguments: Value, context: Context) -> Result<Outcome, ToolError> {
        (self.run)(arguments, context).await
    }
}

/// A query as data.
pub const fn query<Q: Query>() -> Tool {
    Tool {
        name: Q::NAME,
        effect: Effect::Reads,
        needs: None,
        schema: schema::<Q>,
        run: |arguments, context| {
            Box::pin(async move {
                let query: Q = arguments_of(Q::NAME, arguments)?;
                query.run(&context).await.map(Outcome::Report)
            })
        },
    }
}

/// An action as data.
pub const fn action<A: Action>() -> Tool {
    Tool {
        name: A::NAME,
        effect: Effect::Changes { destructive: A::DESTRUCTIVE },
        needs: A::NEEDS,
        schema: schema::<A>,
        run: |arguments, context| {
            Box::pin(async move {
                let action: A = arguments_of(A::NAME, arguments)?;
                action.plan(&context).await.map(Outcome::Plan)
            })
        },
    }
}

fn arguments_of<T: DeserializeOwned>(name: &str, arguments: Value) -> Result<T, ToolError> {
    let arguments = match arguments {
        Value::Null => json!({}),
        other => without_nulls(other),
    };
    serde_path_to_error::deserialize(arguments).map_err(|e| {
        let path = e.path().to_string();
        let place = if path == "." { String::new() } else { format!(" argument `{path}`:") };
        ToolError::Invalid(crate::sanitize::line(&format!("{name}:{place} {}", e.inner())))
    })
}

/// Strict schemas make a model send `null` for what it leaves out; absent is what it means.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        other => other,
    }
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    plain(&mut schema);
    schema
}

/// The simplest schema that says the same: every endpoint and grammar engine takes it. Documented enums become plain
/// enums, optional values lose their `null` (absent says it), number formats and the bounds that come from them go: the
/// arguments are checked in any case.
fn plain(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    // Bounds are checked when the arguments are read, and the error says them.
    for word in ["minimum", "maximum"] {
        map.shift_remove(word);
    }
    map.shift_remove("format");
    map.shift_remove("default");
    map.shift_remove("minimum");
    map.shift_remove("maximum");
    if let Some(Value::Array(types)) = map.get("type") {
        let left: Vec<Value> = types.iter().filter(|t| *t != "null").cloned().collect();
        if let [one] = left.as_slice() {
            map.insert("type".into(), one.clone());
        }
    }
    if let Some(Value::Array(options)) = map.get_mut("anyOf") {
        options.retain(|o| o.get("type") != Some(&json!("null")));
        if options.len() == 1
            && let Some(Value::Object(only)) = options.pop()
        {
            map.shift_remove("anyOf");
            for (key, value) in only {
                map.entry(key).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(options)) = map.get("oneOf")
        && options.iter().all(|o| o.get("const").is_some())
    {
        let names: Vec<Value> = options.iter().filter_map(|o| o.get("const").cloned()).collect();
        let meanings: Vec<String> = options
            .iter()
            .filter_map(|o| {
                Some(format!("{}: {}", o.get("const")?.as_str()?, o.get("description")?.as_str()?))
            })
            .collect();
        map.shift_remove("oneOf");
        map.insert("type".into(), json!("string"));
        map.insert("enum".into(), Value::Array(names));
        if !meanings.is_empty() {
            let lead =
                map.get("description").and_then(Value::as_str).map(|d| format!("{d} ")).unwrap_or_default();
            map.insert("description".into(), json!(format!("{lead}{}", meanings.join("; "))));
        }
    }
    if let Some(Value::Array(names)) = map.get_mut("enum") {
        names.retain(|n| !n.is_null());
        // The type's own line says what its names say already, unless it explains one of them.
        if map.get("description").and_then(Value::as_str).is_some_and(|d| !d.contains(['`', ':'])) {
            map.shift_remove("description");
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(plain);
    }
    if let Some(inner) = map.get_mut("items") {
        plain(inner);
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        workload: String,
        replicas: Option<u32>,
    }

    #[test]
    fn wrong_arguments_are_named_and_absent_ones_may_be_null() {
        let read = |arguments| arguments_of::<Sample>("sample", arguments);
        let sample = read(json!({"workload": "a", "replicas": null})).unwrap();
        assert_eq!((sample.workload.as_str(), sample.replicas), ("a", None));
        for (arguments, says) in [
            (json!({"workload": "a", "replica": 3}), "unknown field `replica`"),
            (json!({"workload": "a", "replicas": "3"}), "argument `replicas`"),
            (json!({"workload": "a", "replicas": -1}), "argument `replicas`"),
            (json!({"replicas": 3}), "missing field `workload`"),
            (Value::Null, "missing field `workload`"),
        ] {
            let error = read(arguments).unwrap_err().to_string();
            assert!(error.contains(says) && error.starts_with("sample:"), "{error}");
        }
    }
}
